//! Nodes stored as deltas of one another, and read back through few hops.

use icecore::{limits::DELTA_HOPS_MAX, seal::Codec};

use super::*;

/// The `version`-th form of a node of which a little changes each time.
fn node(version: u64) -> Vec<u8> {
    let mut plain = noise(7, 30_000);
    for changed in 0..=version {
        let at = (changed * 997 % 29_000) as usize;
        plain[at..at + 40].copy_from_slice(&noise(changed, 40));
    }
    plain
}

fn hops(repo: &Repository, id: &BlobId) -> u8 {
    match repo.catalog().locate(id).unwrap().row.codec {
        Codec::Delta { base, .. } => 1 + hops(repo, &base),
        _ => 0,
    }
}

#[test]
fn chains_of_deltas_are_short_and_read_back() {
    let world = World::new(11);
    let (mut ids, mut packed): (Vec<BlobId>, u64) = (Vec::new(), 0);
    for version in 0..40 {
        let repo = world.open();
        let session = begin(&repo);
        let like = ids.last().map(|id| Like { id: *id, max_hops: DELTA_HOPS_MAX });
        let written = session.write(BlobKind::Node, &node(version), like).unwrap();
        assert!(written.new);
        assert_eq!(session.read(BlobKind::Node, &written.id).unwrap(), node(version));
        ids.push(written.id);
        session.flush().unwrap();
        packed += session.stats().bytes_added_packed;
        session.commit(snapshot(&repo, written.id)).unwrap();
    }
    assert!(packed < 30_000 + 39 * 600, "{packed} bytes for 40 versions of 30,000");
    let repo = world.open();
    let reader = repo.reader().unwrap();
    for (version, id) in (0..).zip(&ids) {
        assert!(hops(&repo, id) <= DELTA_HOPS_MAX);
        let fresh = world.open().reader().unwrap();
        assert_eq!(fresh.read(BlobKind::Node, id).unwrap(), node(version));
    }
    reader.expect(BlobKind::Node, &ids);
    for version in (0..40).rev() {
        let read = reader.read(BlobKind::Node, &ids[version]).unwrap();
        assert_eq!(read, node(version as u64));
    }
    assert!(ids.iter().any(|id| hops(&repo, id) == DELTA_HOPS_MAX));
}

#[test]
fn a_delta_within_one_session_reads_before_and_after_its_packs_are_stored() {
    let world = World::new(12);
    let repo = world.open();
    let session = begin(&repo);
    let mut ids: Vec<BlobId> = Vec::new();
    for version in 0..20 {
        let like = ids.last().map(|id| Like { id: *id, max_hops: 8 });
        ids.push(session.write(BlobKind::Node, &node(version), like).unwrap().id);
        // Other nodes in between, so that the versions lie in several packs.
        session.write(BlobKind::Node, &noise(100 + version, 20_000), None).unwrap();
    }
    session.flush().unwrap();
    for (version, id) in (0..).zip(&ids) {
        assert_eq!(session.read(BlobKind::Node, id).unwrap(), node(version));
    }
    session.commit(snapshot(&repo, ids[19])).unwrap();
    assert!(world.names("packs").len() > 3);
    let reader = world.open().reader().unwrap();
    for (version, id) in (0..).zip(&ids) {
        assert_eq!(reader.read(BlobKind::Node, id).unwrap(), node(version));
    }
}

#[test]
fn what_resembles_little_is_stored_whole() {
    let world = World::new(13);
    let repo = world.open();
    let session = begin(&repo);
    let first = session.write(BlobKind::Node, &noise(1, 20_000), None).unwrap().id;
    let like = Some(Like { id: first, max_hops: 8 });
    let (_, stored_bytes) = write_node(&session, &noise(2, 20_000), like);
    assert!(stored_bytes > 20_000);
    // Nor does an unknown base, itself as base, or no hops make a delta.
    for (seed, like) in [
        (3, Like { id: BlobId::new([9; 32]), max_hops: 8 }),
        (4, Like { id: repo.keys().blob_id(BlobKind::Node, &noise(4, 20_000)), max_hops: 8 }),
        (1, Like { id: first, max_hops: 0 }),
    ] {
        let mut plain = noise(seed, 20_000);
        if seed == 1 {
            plain[7] ^= 1;
        }
        let (written, stored_bytes) = write_node(&session, &plain, Some(like));
        assert!(stored_bytes > 20_000, "{seed}");
        assert_eq!(session.read(BlobKind::Node, &written.id).unwrap(), plain);
    }
}

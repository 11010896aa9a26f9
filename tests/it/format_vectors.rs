//! Vectors of the format from fixed inputs, made again and read by a second reader.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use icecore::{
    format::{
        config::{Config, Sizes, StoreAbilities},
        index::Segment,
        open_record,
        pack::{Codec, PackTable, PackWriter, open_pack_checked},
        seal_record,
        session::Open,
    },
    id::{BlobId, BlobKind, RepoId, Sid},
    seal::{self, ControlKind, Keys, MasterKey, SlotHeader, SlotParams},
};
use serde_json::{Value, json};

use crate::second_reader::{Blob, SecondReader, open_slot};

pub const PASSWORD: &[u8] = b"correct horse battery staple";
const MASTER: [u8; 32] = counting(0x00);
const REPO: RepoId = RepoId(counting(0x40));

/// `from`, `from` + 1, ...
const fn counting<const N: usize>(from: u8) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = from + i as u8;
        i += 1;
    }
    bytes
}

fn keys() -> Keys {
    Keys::derive(&MasterKey::new(MASTER), &REPO)
}

fn second_reader() -> SecondReader {
    SecondReader::new(MASTER, REPO.0)
}

/// Compares with the file of that name below the package, or writes it when asked to.
pub fn golden(path: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("ICECORE_REGENERATE").is_some() {
        // At once: another test may be reading it.
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, found).unwrap();
        return fs::rename(fresh, path).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == found, "{} is not what is made now", path.display());
}

fn vector(name: &str, found: Value) {
    let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
    golden(&format!("tests/vectors/{name}.json"), &text);
}

const CHUNK: &[u8] = b"hello, ice";

/// 60 bytes of which no two are the same, and 60 that all are.
fn node() -> Vec<u8> {
    [&counting::<60>(0x10)[..], &[b'a'; 60]].concat()
}
/// zstd frames written by hand or kept, so that no release of zstd changes them. The node's: a
/// block as it is, and one that repeats a byte.
fn node_frame() -> Vec<u8> {
    let literal = [&b"\xe0\x01\x00"[..], &counting::<60>(0x10)].concat();
    [&b"\x28\xb5\x2f\xfd\x20\x78"[..], &literal, b"\xe3\x01\x00a"].concat()
}
/// The same node with its middle changed.
fn later_node() -> Vec<u8> {
    [&counting::<60>(0x10)[..], b"and a little more", &[b'a'; 60]].concat()
}
/// As zstd 1.5.7 made it at level 3 with the node as prefix.
const DELTA_FRAME: &str =
    "28b52ffd2089dd0000806e642061206c6974746c65206d6f7265030060060073b54b0108";

/// A chunk as it is, a node squeezed, and the node that came after it as a delta.
pub fn pack() -> (PackTable, Bytes) {
    let keys = keys();
    let mut writer = PackWriter::new(keys.pack_salt([0x77; 32]), 0);
    let mut push = |kind, plain: &[u8], codec, squeezed: &[u8]| -> BlobId {
        let id = keys.blob_id(kind, plain);
        writer.push(&keys, &id, kind, codec, plain.len() as u32, squeezed).unwrap();
        id
    };
    push(BlobKind::Chunk, CHUNK, Codec::Raw, CHUNK);
    let base = push(BlobKind::Node, &node(), Codec::Zstd, &node_frame());
    let codec = Codec::Delta { base, generation: 1 };
    push(BlobKind::Node, &later_node(), codec, &hex::decode(DELTA_FRAME).unwrap());
    writer.finish(&keys)
}

pub fn slot_header() -> SlotHeader {
    SlotHeader {
        repo_id: REPO,
        label: "office".into(),
        host: "host.example".into(),
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        params: SlotParams::worthless(),
        salt: counting(0x60),
    }
}

pub fn slot() -> Vec<u8> {
    let master = MasterKey::new(MASTER);
    seal::wrap_master(PASSWORD, &slot_header(), counting(0x80), &master).unwrap()
}

/// Sizes of its own: those of `limits` may come to others.
pub fn config() -> (Config, Bytes) {
    let sizes =
        |kib: u32| Sizes { min_bytes: kib << 8, aim_bytes: kib << 10, max_bytes: kib << 12 };
    let config = Config {
        version: 1,
        repo_id: REPO,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        host: "host.example".into(),
        program: "icecore 0.1.0".into(),
        features: Vec::new(),
        chunks: sizes(1024),
        leaves: sizes(32),
        inner: sizes(16),
        abilities: StoreAbilities { create_if_absent: true, visibility_delay_seconds: 0 },
    };
    let object = config.seal(&keys(), counting(0x90)).unwrap();
    (config, object)
}

/// The pack's table, opened by the second reader.
pub fn pack_table(bytes: &[u8]) -> Vec<u8> {
    second_reader().table(bytes)
}

#[test]
fn keys_and_names() {
    let (keys, reader) = (keys(), second_reader());
    let purposes = ["id", "chunker", "data", "node", "index", "control", "config", "salt"];
    let subkeys: serde_json::Map<_, _> =
        purposes.map(|p| (p.into(), hex::encode(reader.sub(p)).into())).into_iter().collect();
    assert_eq!(keys.chunker_secret(), &reader.sub("chunker"));
    let splitter = blake3::derive_key("icecore v1 splitter", &reader.sub("node"));
    assert_eq!(keys.splitter_secret(), splitter);
    let salt = keys.pack_salt([0x77; 32]).0;
    assert_eq!(salt, *blake3::keyed_hash(&reader.sub("salt"), &[0x77; 32]).as_bytes());
    let plains: [&[u8]; 3] = [b"", CHUNK, &[0xff; 2000]];
    let names = plains.map(|plain| {
        let id = |kind| keys.blob_id(kind, plain);
        assert_eq!(id(BlobKind::Chunk).bytes(), &reader.blob_id(0, plain));
        assert_eq!(id(BlobKind::Node).bytes(), &reader.blob_id(1, plain));
        let (chunk, node) = (id(BlobKind::Chunk), id(BlobKind::Node));
        json!({ "plain": hex::encode(plain), "chunk_id": chunk, "node_id": node })
    });
    vector(
        "keys",
        json!({
            "master_key": hex::encode(MASTER),
            "repo_id": REPO,
            "subkeys": subkeys,
            "splitter": hex::encode(splitter),
            "pack_salt": { "random": hex::encode([0x77; 32]), "salt": hex::encode(salt) },
            "names": names,
        }),
    );
}

#[test]
fn a_pack_and_its_blobs() {
    let (table, bytes) = pack();
    let later = later_node();
    let mut base = |_: &BlobId| Some(Bytes::from(node()));
    assert_eq!(open_pack_checked(&keys(), table.id, &bytes, &mut base).unwrap(), table);
    assert_eq!(*table.id.bytes(), *blake3::hash(&bytes).as_bytes());
    let read = second_reader().pack(&bytes);
    let wanted = [(0, CHUNK.to_vec()), (1, node()), (1, later)];
    for (row, (blob, (kind, plain))) in table.rows.iter().zip(read.iter().zip(wanted)) {
        assert_eq!(*blob, Blob { kind, id: *row.id.bytes(), plain });
    }
    let rows = table.rows.iter().zip(&read).map(|(row, blob)| {
        let end = row.offset as usize + row.stored_len as usize;
        let (base, generation) = match row.codec {
            Codec::Delta { base, generation } => (Some(base), Some(generation)),
            _ => (None, None),
        };
        json!({
            "id": row.id,
            "kind": row.kind as u8,
            "codec": row.codec.tag(),
            "base": base,
            "generation": generation,
            "offset": row.offset,
            "stored_len": row.stored_len,
            "raw_len": row.raw_len,
            "plain": hex::encode(&blob.plain),
            "sealed": hex::encode(&bytes[row.offset as usize..end]),
        })
    });
    let (master, salt) = (hex::encode(MASTER), hex::encode(table.salt.0));
    let blobs: Vec<Value> = rows.collect();
    vector("blob", json!({ "master_key": master, "repo_id": REPO, "salt": salt, "blobs": blobs }));
    vector(
        "pack",
        json!({
            "master_key": master,
            "repo_id": REPO,
            "pack_id": table.id,
            "pack": hex::encode(&bytes),
        }),
    );
}

#[test]
fn a_key_slot() {
    let slot = slot();
    let reader = open_slot(PASSWORD, &slot);
    assert_eq!((reader.repo_id, reader.sub("id")), (REPO.0, second_reader().sub("id")));
    assert_eq!(seal::unwrap_master(PASSWORD, &slot).unwrap().0, slot_header());
    vector(
        "slot",
        json!({
            "password": String::from_utf8_lossy(PASSWORD),
            "master_key": hex::encode(MASTER),
            "header": slot_header(),
            "nonce": hex::encode(counting::<12>(0x80)),
            "slot": hex::encode(slot),
        }),
    );
}

#[test]
fn small_objects() {
    let (keys, reader) = (keys(), second_reader());
    let (config, config_object) = config();
    let plain = reader.object(1, "config", &config_object);
    assert_eq!(serde_json::from_slice::<Config>(&plain).unwrap(), config);
    let sid = Sid::new(counting(0xa0));
    let open = Open {
        sid,
        parents: vec![Sid::new(counting(0xb0))],
        host: "host.example".into(),
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
        program: "icecore 0.1.0".into(),
    };
    let name = format!("sessions/{sid}/open");
    let session = seal_record(&keys, &name, counting(0xc0), &open).unwrap();
    assert_eq!(open_record::<Open>(&keys, &name, &session).unwrap(), open);
    let session_plain = reader.object(2, &name, &session);
    let segment = Segment { packs: vec![pack().0], supersedes: Vec::new() };
    let (segment_id, index) = segment.seal(&keys, counting(0xd0)).unwrap();
    assert_eq!(*segment_id.bytes(), *blake3::hash(&index).as_bytes());
    assert_eq!(reader.object(8, "index", &index), segment.encode());
    let damaged = b"anything".as_slice();
    let object =
        seal::seal_control(&keys, ControlKind::Damaged, "damaged/1", counting(0xe0), damaged);
    let object = object.unwrap();
    assert_eq!(reader.object(7, "damaged/1", &object), damaged);
    let as_json = |kind: u8, name: &str, salt: u8, plain: &[u8], object: &[u8]| {
        json!({
            "kind": kind,
            "name": name,
            "salt": hex::encode(counting::<32>(salt)),
            "plain": hex::encode(plain),
            "object": hex::encode(object),
        })
    };
    vector(
        "control",
        json!({
            "master_key": hex::encode(MASTER),
            "repo_id": REPO,
            "objects": [
                as_json(1, "config", 0x90, &plain, &config_object),
                as_json(2, &name, 0xc0, &session_plain, &session),
                as_json(7, "damaged/1", 0xe0, damaged, &object),
                as_json(8, "index", 0xd0, &segment.encode(), &index),
            ],
        }),
    );
}

/// What was once written stays readable, whatever is written today.
#[test]
fn kept_vectors_open() {
    let kept = |name: &str| -> Value {
        let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let slot = kept("slot");
    let (_, master) =
        seal::unwrap_master(slot["password"].as_str().unwrap().as_bytes(), &bytes(&slot["slot"]))
            .unwrap();
    let keys = Keys::derive(&master, &REPO);
    let pack = kept("pack");
    let id = serde_json::from_value(pack["pack_id"].clone()).unwrap();
    let mut base = |_: &BlobId| Some(Bytes::from(node()));
    let table = open_pack_checked(&keys, id, &bytes(&pack["pack"]), &mut base).unwrap();
    assert_eq!(table.rows.len(), 3);
    let kinds = [ControlKind::Config, ControlKind::SessionOpen, ControlKind::Damaged];
    let control = kept("control");
    let objects = control["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 4);
    for (kind, object) in kinds.into_iter().chain([ControlKind::Index]).zip(objects) {
        let name = object["name"].as_str().unwrap();
        let plain = seal::open_control(&keys, kind, name, &bytes(&object["object"])).unwrap();
        assert_eq!(plain, bytes(&object["plain"]));
    }
}

//! Golden bytes of every record that lies in a small object.

use std::fs;

use icecore::{
    format::{
        Record,
        gc::{CondemnedSet, Damaged, SetId, Tombstone},
        open_record, seal_record,
        session::{Heartbeat, Open},
        slot::Slot,
        snapshot::{NamedRoot, Snapshot, Summary},
    },
    id::{BlobId, PackId, RepoId, Sid},
    seal::{Keys, MasterKey},
};
use serde_json::{Value, json};

use crate::{format_vectors::golden, second_reader::SecondReader};

const NAME: &str = "where/it/lies";
const PATH: &str = "tests/vectors/records.json";

fn keys() -> Keys {
    Keys::derive(&MasterKey::new([1; 32]), &RepoId([2; 16]))
}

/// What was kept of this record opens as it, and what is made of it now are the kept bytes.
fn line<R: Record + PartialEq + std::fmt::Debug>(what: &str, record: &R) -> (String, Value) {
    let object = seal_record(&keys(), NAME, [3; 32], record).unwrap();
    assert_eq!(&open_record::<R>(&keys(), NAME, &object).unwrap(), record);
    let plain = SecondReader::new([1; 32], [2; 16]).object(R::KIND as u8, NAME, &object);
    if std::env::var_os("ICECORE_REGENERATE").is_none() {
        let path = format!("{}/{PATH}", env!("CARGO_MANIFEST_DIR"));
        let kept: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let object = hex::decode(kept[what]["object"].as_str().unwrap()).unwrap();
        assert_eq!(&open_record::<R>(&keys(), NAME, &object).unwrap(), record);
    }
    let (plain, object) = (hex::encode(plain), hex::encode(object));
    (what.into(), json!({ "kind": R::KIND as u8, "plain": plain, "object": object }))
}

fn snapshot() -> Snapshot {
    Snapshot {
        time: "2026-01-02T03:04:05.000000678Z".parse().unwrap(),
        host: "host.example".into(),
        user: "someone".into(),
        uid: 1000,
        gid: 100,
        tags: vec!["daily".into(), "größer".into()],
        paths: vec!["/etc".into(), "/srv/app".into()],
        roots: vec![NamedRoot {
            name: "files".into(),
            id: BlobId::new([6; 32]),
            level: 2,
            entries: 1 << 40,
            bytes: u64::MAX,
        }],
        parent: Some(Sid::new([5; 16])),
        original: None,
        program: "icecore 0.1.0".into(),
        excludes: vec!["*.tmp".into()],
        troubles: 3,
        summary: Summary {
            files_new: 1,
            files_changed: 2,
            files_unmodified: 3,
            dirs_new: 4,
            dirs_changed: 5,
            dirs_unmodified: 6,
            data_added: 7,
            data_added_packed: 8,
            total_files_processed: 9,
            total_bytes_processed: 10,
            backup_start: "2026-01-02T03:04:05Z".parse().unwrap(),
            backup_end: "2026-01-02T03:05:05.5Z".parse().unwrap(),
            ..Summary::default()
        },
        mongodb: None,
    }
}

#[test]
fn every_record_has_its_bytes() {
    let time = "2026-01-02T03:04:05Z".parse().unwrap();
    let (sid, parent) = (Sid::new([4; 16]), Sid::new([5; 16]));
    let (set, pack, blob) = (SetId::new([7; 32]), PackId::new([8; 32]), BlobId::new([9; 32]));
    let host = || "host.example".to_owned();
    let records = [
        line(
            "open",
            &Open { sid, parents: vec![parent], host: host(), time, program: "icecore".into() },
        ),
        line(
            "heartbeat",
            &Heartbeat { time, seen: vec![set], pins: vec![pack], parents: vec![parent] },
        ),
        line("commit", &Slot::Commit { nonce: [3; 16], snapshot: Box::new(snapshot()) }),
        line("abort", &Slot::Abort { by: host(), reason: "no progress".into(), time }),
        line(
            "tombstone",
            &Tombstone { snapshot: sid, actor: "someone".into(), reason: "forget".into(), time },
        ),
        line("condemned", &CondemnedSet { packs: vec![pack], time, host: host() }),
        line("damaged", &Damaged { packs: vec![pack], blobs: vec![blob], time }),
    ];
    let records: serde_json::Map<_, _> = records.into_iter().collect();
    golden(PATH, &(serde_json::to_string_pretty(&records).unwrap() + "\n"));
}

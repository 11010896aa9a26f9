//! Dumps as mongodump makes them, whole and damaged.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};

use super::{Dump, DumpError, crc::Crc};
use crate::{
    document::{Writer, extjson::parse},
    source::mongo::{Keys, Kind},
};

fn document(number: i32, bytes: usize) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.push_i32(b"_id", number);
    writer.push_str(b"text", "x".repeat(bytes));
    writer.finish()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const METADATA: &str = r#"{"options":{"capped":true,"size":{"$numberInt":"4096"}},"indexes":[
    {"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"},
    {"v":{"$numberInt":"2"},"key":{"b":{"$numberDouble":"1.0"},"a":{"$numberInt":"-1"}},
     "name":"b_1"}],
    "uuid":"00112233445566778899aabbccddeeff","collectionName":"log","type":"collection"}"#;
const VIEW: &str = r#"{"options":{"viewOn":"log","pipeline":[]},"indexes":[],"uuid":"",
    "collectionName":"view","type":"view"}"#;
const SERIES: &str = r#"{"options":{"timeseries":{"timeField":"t"}},"indexes":[],
    "collectionName":"series","type":"timeseries"}"#;

/// What each collection holds.
fn told(dump: &Dump) -> Vec<(String, usize, u64)> {
    dump.collections()
        .iter()
        .map(|dumped| {
            let (mut documents, mut bytes) = (0, 0);
            for batch in dump.scan(dumped).unwrap() {
                let batch = batch.unwrap();
                assert_eq!(batch.documents().count() as u64, batch.len());
                assert_eq!(batch.documents().map(<[u8]>::len).sum::<usize>() as u64, batch.bytes());
                documents += batch.documents().count();
                bytes += batch.bytes();
            }
            (dumped.collection.namespace.to_string(), documents, bytes)
        })
        .collect()
}

fn directory(path: &Path, gzip: bool) {
    let put = |name: &str, bytes: &[u8]| {
        let bytes = if gzip { gzipped(bytes) } else { bytes.to_vec() };
        let name = if gzip { format!("{name}.gz") } else { name.to_owned() };
        let path = path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("prelude.json", br#"{"ServerVersion":"6.0.5","ToolVersion":"100.7"}"#);
    put("shop/log.metadata.json", METADATA.as_bytes());
    put(
        "shop/log.bson",
        &[document(1, 10), document(2, 3_000_000), document(3, 2_000_000)].concat(),
    );
    put("shop/view.metadata.json", VIEW.as_bytes());
    put("shop/series.metadata.json", SERIES.as_bytes());
    put("shop/system.buckets.series.bson", &document(7, 1));
    put("shop/system.views.bson", &document(7, 1));
    put("shop/$admin.system.users.bson", &document(1, 1));
    put("shop/$admin.system.users.metadata.json", br#"{"options":{},"indexes":[]}"#);
    put("shop/%24admin.system.version.bson", &document(1, 1));
    put("shop/a%2Fb.bson", b"");
    put("admin/system.version.bson", &document(1, 1));
}

#[test]
fn a_directory_gzipped_or_not() {
    for gzip in [false, true] {
        let temporary = tempfile::tempdir().unwrap();
        directory(temporary.path(), gzip);
        let dump = Dump::open(temporary.path()).unwrap();
        assert_eq!(dump.server_version.as_deref(), Some("6.0.5"));
        assert!(!dump.has_oplog);
        let log_bytes =
            (document(1, 10).len() + document(2, 5_000_000).len() + document(3, 0).len()) as u64;
        assert_eq!(
            told(&dump),
            [
                ("shop.a/b".to_owned(), 0, 0),
                ("shop.log".into(), 3, log_bytes),
                ("shop.series".into(), 1, document(7, 1).len() as u64),
                ("shop.view".into(), 0, 0),
            ]
        );
        let log = &dump.collections()[1].collection;
        assert_eq!((log.kind, log.keys), (Kind::Collection, Keys::Ordinal));
        assert_eq!(log.uuid.unwrap()[..3], [0, 0x11, 0x22]);
        assert_eq!(log.options, parse(r#"{"capped":true,"size":4096}"#).unwrap());
        assert_eq!(
            log.indexes[1],
            parse(r#"{"v":2,"key":{"b":1.0,"a":-1},"name":"b_1"}"#).unwrap()
        );
        assert_eq!(log.id_index.as_ref(), Some(&log.indexes[0]));
        let kinds: Vec<Kind> = dump.collections().iter().map(|d| d.collection.kind).collect();
        assert_eq!(kinds, [Kind::Collection, Kind::Collection, Kind::TimeSeries, Kind::View]);
        // One database's directory alone.
        let one = Dump::open(&temporary.path().join("shop")).unwrap();
        assert_eq!(told(&one), told(&dump));
    }
}

#[test]
fn what_is_damaged_in_a_directory_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let open = || Dump::open(temporary.path());
    assert!(matches!(open(), Err(DumpError::NoDump { .. })));
    fs::create_dir(temporary.path().join("shop")).unwrap();
    let bson = temporary.path().join("shop/log.bson");
    let whole = [document(1, 10), document(2, 10)].concat();
    for length in 0..=whole.len() {
        fs::write(&bson, &whole[..length]).unwrap();
        let dump = open().unwrap();
        let errors = dump.scan(&dump.collections()[0]).unwrap().filter(Result::is_err).count();
        let is_whole = [0, whole.len() / 2, whole.len()].contains(&length);
        assert_eq!(errors, usize::from(!is_whole), "{length}");
    }
    let metadata = temporary.path().join("shop/log.metadata.json");
    fs::write(&metadata, "{").unwrap();
    assert!(matches!(open(), Err(DumpError::Metadata { .. })));
    fs::write(&metadata, r#"{"options":1}"#).unwrap();
    assert!(matches!(open(), Err(DumpError::Field { field: "options", .. })));
    fs::remove_file(&metadata).unwrap();
    fs::write(temporary.path().join("shop/a%zz.bson"), "").unwrap();
    assert!(matches!(open(), Err(DumpError::Name { .. })));
    // A name too long for a file is cut, and its metadata tells it.
    let told = r#"{"options":{},"indexes":[],"collectionName":"azz","type":"collection"}"#;
    fs::write(temporary.path().join("shop/a%zz.metadata.json"), told).unwrap();
    assert_eq!(open().unwrap().collections()[0].collection.namespace.collection, "azz");
    fs::remove_file(temporary.path().join("shop/a%zz.bson")).unwrap();
    assert!(matches!(open(), Err(DumpError::NoDocuments { .. })));
    assert!(matches!(Dump::open(&bson.join("none")), Err(DumpError::Read { .. })));
}

/// What ends a block.
const END: [u8; 4] = [0xff; 4];

/// Two collections by turns, an empty one, and a view.
fn archive() -> Vec<u8> {
    let mut bytes = 0x8199_e26du32.to_le_bytes().to_vec();
    bytes.extend(
        parse(r#"{"version":"0.1","server_version":"6.0.5","concurrent_collections":4}"#).unwrap(),
    );
    let of_admin = "$admin.system.users";
    let all = [("log", METADATA), (of_admin, ""), ("other", ""), ("view", VIEW), ("none", "")];
    for (name, metadata) in all {
        let mut told = Writer::new();
        told.push_str(b"db", "shop");
        told.push_str(b"collection", name);
        told.push_str(b"metadata", metadata);
        bytes.extend(told.finish());
    }
    bytes.extend(END);
    let mut crcs = [Crc::new(), Crc::new()];
    for (number, which) in [(1, 0), (2, 1), (3, 0), (4, 0), (5, 1)] {
        bytes.extend(header(["log", "other"][which], None));
        let document = document(number, 300_000 * number as usize);
        crcs[which].update(&document);
        bytes.extend(&document);
        bytes.extend(END);
    }
    for (name, crc) in [("log", &crcs[0]), ("other", &crcs[1]), ("none", &Crc::new())] {
        bytes.extend(header(name, Some(crc.value())));
        bytes.extend(END);
    }
    bytes
}

fn header(name: &str, crc: Option<u64>) -> Vec<u8> {
    let mut header = Writer::new();
    header.push_str(b"db", "shop");
    header.push_str(b"collection", name);
    header.push_bool(b"EOF", crc.is_some());
    header.push_i64(b"CRC", crc.unwrap_or_default().cast_signed());
    header.finish()
}

#[test]
fn an_archive_gzipped_or_not() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("archive");
    for bytes in [archive(), gzipped(&archive())] {
        fs::write(&path, bytes).unwrap();
        let dump = Dump::open(&path).unwrap();
        assert_eq!(dump.server_version.as_deref(), Some("6.0.5"));
        let bytes = |numbers: &[i32]| -> u64 {
            numbers.iter().map(|n| document(*n, 300_000 * *n as usize).len() as u64).sum()
        };
        assert_eq!(
            told(&dump),
            [
                ("shop.log".to_owned(), 3, bytes(&[1, 3, 4])),
                ("shop.none".into(), 0, 0),
                ("shop.other".into(), 2, bytes(&[2, 5])),
                ("shop.view".into(), 0, 0),
            ]
        );
        assert_eq!(dump.collections()[0].collection.keys, Keys::Ordinal);
        assert_eq!(dump.collections()[2].collection.keys, Keys::Id);
        assert_eq!(dump.collections()[0].bytes, bytes(&[1, 3, 4]));
    }
}

#[test]
fn an_archive_that_is_cut_or_changed_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("archive");
    let whole = archive();
    let ends = whole.windows(4).enumerate().filter(|(_, bytes)| *bytes == END);
    let ends: Vec<usize> = ends.map(|(at, _)| at + END.len()).collect();
    assert_eq!((ends.len(), ends.last()), (9, Some(&whole.len())));
    let within = [0, 3, 4, 20, 400, 2000, whole.len() - 1, whole.len() - 5];
    for length in within.iter().chain(&ends[..8]) {
        fs::write(&path, &whole[..*length]).unwrap();
        let opened = Dump::open(&path).err();
        assert!(matches!(opened, Some(DumpError::Cut { .. })), "{length}: {opened:?}");
    }
    let mut changed = whole.clone();
    let middle = whole.len() / 2;
    assert_eq!(changed[middle], b'x', "within a text");
    changed[middle] = b'y';
    fs::write(&path, &changed).unwrap();
    let dump = Dump::open(&path).unwrap();
    let errors: Vec<DumpError> = dump
        .collections()
        .iter()
        .flat_map(|dumped| dump.scan(dumped).unwrap().filter_map(Result::err))
        .collect();
    assert!(matches!(errors[..], [DumpError::Checksum { .. }]), "{errors:?}");
    fs::write(&path, "hello, this is no archive").unwrap();
    assert!(matches!(Dump::open(&path), Err(DumpError::NoArchive { .. })));
}

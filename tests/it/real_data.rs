//! GeoNames: real documents into a repository, back into another server, changed, and compared.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, time::Instant};

use mongodb::bson::{Document, doc, serialize_to_document};
use serde_json::Value;

use crate::{cli::Desk, mongod::Deployment, restore_mongodb::described};

/// Where the data is, got if it was not there.
fn place() -> PathBuf {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/geonames");
    let output = Command::new(script).arg("path").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/geonames path: {errors}");
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}

/// The records of a file; those that have names of their own have them as `_id`.
fn documents(file: &str) -> Vec<Document> {
    let text = fs::read_to_string(place().join(file)).unwrap();
    let document = |id: Value, record: &Value| {
        let mut document = doc! {};
        document.extend(serialize_to_document(&serde_json::json!({ "_id": id })).unwrap());
        document.extend(serialize_to_document(record).unwrap());
        document
    };
    match serde_json::from_str(&text).unwrap() {
        Value::Object(named) => named
            .iter()
            .map(|(name, record)| {
                let number = name.parse::<i64>().map(Value::from);
                document(number.unwrap_or_else(|_| name.as_str().into()), record)
            })
            .collect(),
        Value::Array(list) => {
            list.iter().zip(0..).map(|(one, n)| document(n.into(), one)).collect()
        }
        other => panic!("{file}: {other}"),
    }
}

fn load(server: &Deployment, collection: &str, file: &str) -> usize {
    let documents = documents(file);
    for some in documents.chunks(10_000) {
        server.command("geo", doc! { "insert": collection, "documents": some.to_vec() });
    }
    documents.len()
}

/// One in a hundred of the cities, changed in this way; which ones.
fn change(server: &Deployment, remainder: i32, newer: Document) -> BTreeSet<i64> {
    let few = doc! { "_id": { "$mod": [100, remainder] } };
    let find = doc! { "find": "cities", "filter": &few, "projection": { "_id": 1 },
    "batchSize": 100_000 };
    let reply = server.command("geo", find);
    let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let ids = batch.iter().map(|one| one.as_document().unwrap().get_i64("_id").unwrap());
    let update = doc! { "q": few, "u": newer, "multi": true };
    server.command("geo", doc! { "update": "cities", "updates": [update] });
    ids.collect()
}

#[test]
fn real_documents_come_back_and_one_in_a_hundred_changed_costs_little() {
    let (from, to) = (Deployment::replica_set(), Deployment::standalone());
    let mut begun = Instant::now();
    let mut took = |what: &str| {
        eprintln!("{what}: {:?}", begun.elapsed());
        begun = Instant::now();
    };
    let cities = load(&from, "cities", "cities500.json");
    assert!(cities > 200_000, "{cities} cities");
    let mut all = cities;
    for (collection, file) in [
        ("countries", "countries.json"),
        ("continents", "continents.json"),
        ("states", "us_states.json"),
        ("counties", "us_counties.json"),
    ] {
        all += load(&from, collection, file);
    }
    let indexes = [
        doc! { "key": { "countrycode": 1, "population": -1 }, "name": "largest" },
        doc! { "key": { "name": 1 }, "name": "name", "collation": { "locale": "en" } },
    ];
    from.command("geo", doc! { "createIndexes": "cities", "indexes": indexes.to_vec() });
    took("load");

    let desk = Desk::new();
    desk.init();
    let first = desk.json_lines(&["backup", &from.uri()]).pop().unwrap();
    assert_eq!((&first["docs_new"], &first["collections"]), (&all.into(), &5.into()), "{first}");
    took("backup");
    desk.ok(&["restore", "latest", "--to", &to.uri()]);
    took("restore");
    assert_eq!(described(&from, "geo"), described(&to, "geo"));

    // A number changes; then others get a field that none had, as in a newer edition.
    let newer = doc! { "$inc": { "population": 17 } };
    let added = one_in_a_hundred(&from, &desk, change(&from, 42, newer));
    took("change and second backup");
    let before = stored(&first);
    eprintln!("{added} bytes after {before}");
    assert!(added * 100 <= before, "{added} bytes for one in a hundred, after {before}");
    let newer = doc! { "$inc": { "population": 17 }, "$set": { "modified": "2026-11-21" } };
    let changed = change(&from, 7, newer);
    let many = changed.len() as u64;
    let added = one_in_a_hundred(&from, &desk, changed);
    took("change and third backup");
    eprintln!("{added} bytes after {before}");
    assert!(added * 20 <= before, "{added} bytes for one in a hundred, after {before}");

    // The last edition over the first: only what differs is written.
    let uri = to.uri();
    let over = ["restore", "latest", "--to", &uri, "--conflict", "overwrite", "-y"];
    let lines = desk.json_lines(&over);
    let plan = lines.iter().find(|line| line["message_type"] == "plan").unwrap();
    let overwritten = plan["docs_overwrite"].as_u64().unwrap();
    assert!(overwritten > many && overwritten < 3 * many, "{plan}");
    assert_eq!((&plan["docs_insert"], &plan["conflicts"]), (&0.into(), &0.into()), "{plan}");
    assert_eq!(described(&from, "geo"), described(&to, "geo"));
    took("restore over it");
}

fn stored(summary: &Value) -> u64 {
    summary["data_added_packed"].as_u64().unwrap()
}

/// Backs up and looks at what the backup and `diff` say of what was `changed`; the bytes it stored.
fn one_in_a_hundred(from: &Deployment, desk: &Desk, changed: BTreeSet<i64>) -> u64 {
    let summary = desk.json_lines(&["backup", &from.uri()]).pop().unwrap();
    assert_eq!(summary["docs_changed"], changed.len(), "{summary}");
    assert_eq!((&summary["docs_new"], &summary["docs_deleted"]), (&0.into(), &0.into()));
    let all = summary["docs_unmodified"].as_u64().unwrap() as usize + changed.len();
    assert!(changed.len() * 90 < all && changed.len() * 110 > all, "{} of {all}", changed.len());

    let lines = desk.json_lines(&["diff", "latest~1", "latest"]);
    let changes = lines.iter().filter(|one| one["message_type"] == "change");
    let of_documents = changes.filter(|one| !one["_id"].is_null());
    let told: Vec<i64> = of_documents
        .map(|one| {
            assert_eq!((&one["modifier"], &one["namespace"]), (&"M".into(), &"geo.cities".into()));
            one["_id"].as_i64().unwrap()
        })
        .collect();
    assert_eq!(told.len(), changed.len(), "each once");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), changed);
    stored(&summary)
}

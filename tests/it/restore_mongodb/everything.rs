//! A database that has everything comes back the same, on another server.

use mongodb::bson::{
    Binary, Bson, DateTime, Decimal128, JavaScriptCodeWithScope, Regex, Timestamp, oid::ObjectId,
    spec::BinarySubtype,
};

use super::*;
use crate::{
    mongod::{Ability, can, has},
    sink_mongo::awkward,
};

pub fn every_type() -> Document {
    let generic = |subtype| Binary { subtype, bytes: vec![1, 2, 3] };
    doc! {
        "_id": "types",
        "double": 0.1,
        "nan": f64::NAN,
        "minus zero": -0.0,
        "string": "größe",
        "document": { "a": { "b": {} } },
        "array": [1, "two", [3.0], {}],
        "binary": generic(BinarySubtype::Generic),
        "function": generic(BinarySubtype::Function),
        "user": generic(BinarySubtype::UserDefined(0x80)),
        "uuid": Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] },
        "undefined": Bson::Undefined,
        "object id": ObjectId::from_bytes([9; 12]),
        "true": true,
        "date": DateTime::from_millis(-1),
        "null": Bson::Null,
        "regex": Regex { pattern: "^a.*b$".try_into().unwrap(), options: "im".try_into().unwrap() },
        "code": Bson::JavaScriptCode("1 + 1".into()),
        "symbol": Bson::Symbol("s".into()),
        "scope": JavaScriptCodeWithScope { code: "x".into(), scope: doc! { "x": 1 } },
        "int32": i32::MIN,
        "timestamp": Timestamp { time: 5, increment: 6 },
        "int64": i64::MAX,
        "decimal": "1.10E+5".parse::<Decimal128>().unwrap(),
        "min": Bson::MinKey,
        "max": Bson::MaxKey,
    }
}

pub fn every_id() -> Vec<Document> {
    let ids: Vec<Bson> = vec![
        Bson::MinKey,
        Bson::Null,
        1.into(),
        2.5.into(),
        i64::MAX.into(),
        "3.14".parse::<Decimal128>().unwrap().into(),
        "text".into(),
        "x".repeat(6000).into(),
        doc! { "b": 1, "a": [1, 2] }.into(),
        Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255] }.into(),
        ObjectId::from_bytes([1; 12]).into(),
        true.into(),
        DateTime::from_millis(0).into(),
        Timestamp { time: 1, increment: 1 }.into(),
        Bson::MaxKey,
    ];
    ids.into_iter().map(|id| doc! { "_id": id, "v": 1 }).collect()
}

fn collections_of_all_kinds(deployment: &Deployment, db: &str) {
    let run = |command| deployment.command(db, command);
    insert(deployment, db, "types", vec![every_type()]);
    insert(deployment, db, "ids", every_id());
    insert(
        deployment,
        db,
        "large",
        vec![doc! { "_id": 1, "text": "ä".repeat(8 << 20).split_at((16 << 20) - 64).0 }],
    );
    insert(
        deployment,
        db,
        "system.js",
        vec![doc! { "_id": "f", "value": Bson::JavaScriptCode("function() {}".into()) }],
    );
    // Documents that a validator would refuse.
    insert(
        deployment,
        db,
        "validated",
        (0..20).map(|id| doc! { "_id": id, "n": "no number" }).collect(),
    );
    run(doc! { "collMod": "validated", "validator": { "n": { "$type": "number" } },
    "validationAction": "error" });
    special_kinds(deployment, db);
}

fn special_kinds(deployment: &Deployment, db: &str) {
    let run = |command| deployment.command(db, command);
    run(doc! { "create": "capped", "capped": true, "size": 100_000, "max": 40 });
    insert(
        deployment,
        db,
        "capped",
        (0..60).map(|n| doc! { "_id": (n * 7) % 60, "n": n }).collect(),
    );
    run(doc! { "create": "collated", "collation": { "locale": "de", "strength": 2 } });
    insert(
        deployment,
        db,
        "collated",
        vec![doc! { "_id": "a", "x": "A" }, doc! { "_id": "B", "x": "b" }],
    );
    run(doc! { "createIndexes": "collated", "indexes": [
        { "key": { "x": 1 }, "name": "its own" },
        { "key": { "x": 1, "y": 1 }, "name": "simple", "collation": { "locale": "simple" } },
        { "key": { "z": 1 }, "name": "french", "collation": { "locale": "fr" } },
    ] });
    if can(Ability::TimeSeries) {
        run(doc! { "create": "series", "timeseries": { "timeField": "t", "metaField": "m",
        "granularity": "minutes" }, "expireAfterSeconds": 1_000_000_000_i64 });
        let points = (0..300).map(|n| {
            doc! {
            "t": DateTime::from_millis(1_700_000_000_000 + n * 60_000), "m": { "s": n % 3 },
            "v": n as f64 }
        });
        insert(deployment, db, "series", points.collect());
        run(doc! { "createIndexes": "series", "indexes": [{ "key": { "m.s": 1, "t": -1 },
        "name": "secondary" }] });
    }
    if can(Ability::ClusteredCollections) {
        run(doc! { "create": "clustered", "clusteredIndex": { "key": { "_id": 1 },
        "unique": true, "name": "by id" } });
        insert(deployment, db, "clustered", (0..50).map(|id| doc! { "_id": id }).collect());
    }
    if can(Ability::PreAndPostImages) {
        run(doc! { "create": "images", "changeStreamPreAndPostImages": { "enabled": true } });
        insert(deployment, db, "images", vec![doc! { "_id": 1 }]);
    }
    // GridFS, as drivers make it.
    insert(
        deployment,
        db,
        "fs.files",
        vec![doc! { "_id": 1, "length": 600_000, "chunkSize": 261_120, "filename": "f" }],
    );
    let piece = |n: i32| Binary { subtype: BinarySubtype::Generic, bytes: vec![n as u8; 261_120] };
    insert(
        deployment,
        db,
        "fs.chunks",
        (0..3).map(|n| doc! { "_id": n, "files_id": 1, "n": n, "data": piece(n) }).collect(),
    );
    run(doc! { "createIndexes": "fs.chunks", "indexes": [{ "key": { "files_id": 1, "n": 1 },
    "name": "files_id_1_n_1", "unique": true }] });
    run(doc! { "create": "empty" });
    run(doc! { "create": "view", "viewOn": "ids", "pipeline": [{ "$match": { "v": 1 } }] });
    run(doc! { "create": "a view on it", "viewOn": "view",
    "pipeline": [{ "$project": { "_id": 1 } }] });
    run(doc! { "create": "a view on nothing", "viewOn": "nowhere", "pipeline": [],
    "collation": { "locale": "sv" } });
}

pub fn indexes_of_all_kinds(deployment: &Deployment, db: &str) {
    let places = (0..30).map(|n| {
        let place = doc! { "type": "Point", "coordinates": [n, n] };
        doc! { "_id": n, "u": n, "s": if n % 2 == 0 { Bson::Null } else { n.into() },
        "t": format!("the word {n}"),
           "place": place, "flat": [n, -n], "h": n, "w": { "a": n, "b": n },
               "at": DateTime::from_millis(4_000_000_000_000) }
    });
    insert(deployment, db, "indexed", places.collect());
    let mut indexes = vec![
        doc! { "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": 1000 },
        doc! { "key": { "u": 1 }, "name": "unique", "unique": true },
        doc! { "key": { "x.y": 1 }, "name": "sparse", "sparse": true },
        doc! { "key": { "u": 1, "s": -1 }, "name": "partial",
        "partialFilterExpression": { "u": { "$gt": 5 } } },
        doc! { "key": { "t": "text", "o": "text" }, "name": "text", "weights": { "t": 3 },
        "default_language": "german" },
        doc! { "key": { "place": "2dsphere" }, "name": "sphere" },
        doc! { "key": { "flat": "2d" }, "name": "flat", "bits": 20, "min": -100.0, "max": 100.0 },
        doc! { "key": { "h": "hashed" }, "name": "hashed" },
        doc! { "key": { "_id": "hashed" }, "name": "hashed id" },
        doc! { "key": { "$**": 1 }, "name": "wild", "wildcardProjection": { "w.a": 1 } },
        doc! { "key": { "w.$**": 1 }, "name": "wild below" },
        doc! { "key": { "u": 1.0, "h": -1.0 }, "name": "doubles" },
        doc! { "key": { "s": 1 }, "name": "collated", "collation": { "locale": "en",
        "numericOrdering": true } },
        doc! { "key": { "h": 1 }, "name": "hidden", "hidden": true },
    ];
    if can(Ability::PrepareUnique) {
        indexes.push(doc! { "key": { "u": 1, "w": 1 }, "name": "prepared", "prepareUnique": true });
    }
    deployment.command(db, doc! { "createIndexes": "indexed", "indexes": indexes });
}

#[test]
fn a_database_that_has_everything_comes_back_the_same_on_another_server() {
    let (from, to) = (Deployment::replica_set(), Deployment::standalone());
    let (scene, source, target) = (Scene::new(), link(&from), link(&to));
    collections_of_all_kinds(&from, "all");
    indexes_of_all_kinds(&from, "all");
    let place = Namespace::new("all", "awkward");
    let mut writers = sink::Writers::start(&source, &place, sink::Order::Any, 2);
    for document in awkward() {
        writers.push(sink::Op::Insert { document }).unwrap();
    }
    assert!(writers.finish().unwrap().failures.count() == 0);

    let kept = scene.capture(&source, &["all"]);
    let (plan, outcome) = scene.restore(&target, &kept, scene.options());
    assert!(!plan.takes_something_away() && plan.writes());
    assert_eq!((outcome.conflicts(), outcome.troubles()), (0, 0), "{outcome:#?}");
    assert!(outcome.is_right(), "{outcome:#?}");
    assert_same(&described(&from, "all"), &described(&to, "all"));

    // Again: there is nothing to do, and nothing is done.
    let (plan, outcome) = scene.restore(&target, &kept, scene.options());
    assert!(!plan.writes() && outcome.undo.is_none(), "{plan:#?}");
    assert_eq!(plan.totals().conflict, 0, "{plan:#?}");

    // Dropped and made anew, into databases of other names, and taken back.
    let before = described(&to, "all");
    insert(&to, "all", "ids", vec![doc! { "_id": "more" }]);
    let more = described(&to, "all");
    let (plan, outcome) = scene.restore(&target, &kept, Options { drop: true, ..scene.options() });
    assert!(plan.takes_something_away());
    assert_same(&before, &described(&to, "all"));
    let undone = scene.undo(&target, &outcome, false);
    assert!(undone.forgotten, "{undone:#?}");
    assert_same(&more, &described(&to, "all"));
    let rename = ["all.*".to_owned()];
    let renames = Renames::parse(&rename, &["other.*".to_owned()]).unwrap();
    let exclude = Patterns::parse(["*view*"]);
    let (_, outcome) =
        scene.restore(&target, &kept, Options { renames, exclude, ..scene.options() });
    assert!(outcome.is_right() && outcome.conflicts() == 0);
    let hashes = |map: BTreeMap<String, Bson>| -> Vec<(String, Bson)> {
        // Views are left out here, and know their database's name.
        let is_data = |name: &str| name.ends_with(": hash") && !name.starts_with("system.views");
        map.into_iter().filter(|(name, _)| is_data(name)).collect()
    };
    assert_eq!(hashes(before), hashes(described(&to, "other")));
    assert!(scene.undo(&target, &outcome, false).forgotten);
    assert!(described(&to, "other").keys().all(|name| name.starts_with("system.")));
}

#[test]
fn users_and_roles_come_back_when_asked_for() {
    let (from, to) = (Deployment::with_auth(), Deployment::with_auth());
    let (scene, target) = (Scene::new(), link(&to));
    let roles = [doc! { "role": "read", "db": "shop" }];
    let privileges = [doc! { "resource": { "db": "shop", "collection": "" }, "actions": ["find"] }];
    from.command("shop", doc! { "createRole": "looker", "privileges": privileges, "roles": [] });
    from.command("shop", doc! { "createUser": "ann", "pwd": "ann's password", "roles": roles });
    insert(&from, "shop", "orders", vec![doc! { "_id": 1 }]);
    let kept = scene.capture(&link(&from), &["shop", "admin"]);

    // A user who may restore, and nothing else.
    let roles = [doc! { "role": "restore", "db": "admin" }];
    to.command("admin", doc! { "createUser": "keeper", "pwd": "p", "roles": roles });
    let keeper = to.uri_as("keeper", "p");
    let restorer = Link::connect(&keeper, &Connect::to(Purpose::Write)).unwrap();
    let options = Options { users_and_roles: true, ..scene.options() };
    let (plan, outcome) = scene.restore(&restorer, &kept, options);
    // He may read users, not roles; root is there, is another and stays.
    assert_eq!((plan.users, plan.roles), (1, 1), "{plan:#?}");
    assert!(plan.notes.iter().any(|note| note.contains("stay in admin.system.users: 1;")));
    assert!(plan.takes_something_away(), "who may come in changes");
    assert_eq!(outcome.conflicts(), 0, "{outcome:#?}");
    let users = to.command("shop", doc! { "usersInfo": "ann", "showCredentials": true });
    let theirs = from.command("shop", doc! { "usersInfo": "ann", "showCredentials": true });
    assert_eq!(users.get_array("users").unwrap(), theirs.get_array("users").unwrap());
    let role = to.command("shop", doc! { "rolesInfo": "looker", "showPrivileges": true });
    assert_eq!(role.get_array("roles").unwrap().len(), 1);
    assert_eq!(all(&to, "shop", "orders").len(), 1);
    let left: Vec<String> =
        sink::collections(&target, "admin").unwrap().into_iter().map(|one| one.name).collect();
    assert!(left.iter().all(|name| !name.contains("temp")), "{left:?}");

    // He may not look, nor change what is there: the error says what he lacks.
    insert(&from, "shop", "orders", vec![doc! { "_id": 2 }]);
    let kept = scene.capture(&link(&from), &["shop"]);
    let options = scene.options();
    let refused = verb::prepare(&scene.repo, &restorer, &kept, options, &Progress::silent());
    let error = refused.err().expect("it needs to read");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not allowed") && cause.contains("orders"), "{cause}");
}

#[test]
fn what_came_with_later_servers_is_told_in_the_plan_and_the_rest_is_restored() {
    let deployment = Deployment::replica_set();
    let (scene, link) = (Scene::new(), link(&deployment));
    let names = ["clustered", "plain", "series"];
    let documents = || (0..3).map(|id| doc! { "_id": id }).collect();
    names.iter().for_each(|name| insert(&deployment, "d", name, documents()));
    let by_id = doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_", "unique": true };
    let rounding = doc! { "timeField": "t", "bucketMaxSpanSeconds": 60,
    "bucketRoundingSeconds": 60 };
    let kept = scene.capture_as(&link, &["d"], |name, record| match name {
        "clustered" => {
            record.options = doc! { "clusteredIndex": &by_id }.to_vec().unwrap();
            record.id_index = None;
        }
        // Servers have that since 6.3.
        "series" => {
            record.kind = CollectionKind::TimeSeries;
            record.options = doc! { "timeseries": &rounding }.to_vec().unwrap();
        }
        _ => {}
    });
    deployment.command("d", doc! { "dropDatabase": 1 });
    let clusters = has(Ability::ClusteredCollections);
    let of_clustered = if clusters { Fate::Create } else { Fate::Blocked };
    let expected = [of_clustered, Fate::Create, Fate::Blocked];

    let (plan, outcome) = scene.restore(&link, &kept, scene.options());
    for (one, expected) in plan.collections.iter().zip(expected) {
        let blocked = expected == Fate::Blocked;
        assert_eq!((one.fate, one.notes.len()), (expected, usize::from(blocked)), "{one:#?}");
        assert_eq!(one.counts.insert, if blocked { 0 } else { 3 }, "{one:#?}");
    }
    let notes = &plan.collections[2].notes;
    assert!(notes[0].contains("which servers have since"), "{notes:?}");
    let blocked = expected.iter().filter(|fate| **fate == Fate::Blocked).count() as u64;
    assert_eq!((outcome.troubles(), outcome.conflicts()), (blocked, 0), "{outcome:#?}");
    assert!(outcome.is_right());
    assert_eq!(all(&deployment, "d", "plain").len(), 3);
    let there = sink::collections(&link, "d").unwrap();
    assert!(!there.iter().any(|one| one.name == "series"), "{there:?}");
    scene.undo(&link, &outcome, false);
    assert_eq!(described(&deployment, "d").len(), 0, "all that was made is gone");

    // Documents of a clustered collection go into any that is there.
    deployment.command("d", doc! { "create": "clustered" });
    let (plan, outcome) = scene.restore(&link, &kept, scene.options());
    assert_eq!((plan.collections[0].fate, outcome.collections[0].inserted), (Fate::Keep, 3));
    assert_eq!(all(&deployment, "d", "clustered").len(), 3);
}

#[test]
fn a_collection_that_the_server_refuses_is_told_and_the_rest_is_restored() {
    let deployment = Deployment::standalone();
    let (scene, link) = (Scene::new(), link(&deployment));
    ["odd", "plain"].iter().for_each(|name| insert(&deployment, "d", name, vec![doc! {"_id": 1}]));
    let index = doc! { "key": { "a": 1 }, "name": "a", "expireAfterSeconds": 10_000 };
    deployment.command("d", doc! { "createIndexes": "odd", "indexes": [index] });
    let kept = scene.capture_as(&link, &["d"], |name, record| {
        if name == "odd" {
            record.options = doc! { "validator": { "$unheardOf": 1 } }.to_vec().unwrap();
        }
    });
    deployment.command("d", doc! { "dropDatabase": 1 });
    let (plan, outcome) = scene.restore(&link, &kept, scene.options());
    assert_eq!(plan.collections[0].fate, Fate::Create, "nobody could know");
    let [odd, plain] = &outcome.collections[..] else { panic!("{outcome:#?}") };
    assert_eq!((odd.fate, odd.inserted, plain.inserted), (Fate::Blocked, 0, 1));
    assert!(odd.troubles[0].contains("$unheardOf"), "{odd:#?}");
    assert_eq!((outcome.troubles(), outcome.unconfirmed.as_ref()), (1, None), "{outcome:#?}");
    let there = sink::collections(&link, "d").unwrap();
    assert_eq!(there.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["plain"]);
    assert!(scene.undo(&link, &outcome, false).forgotten);

    // Where that was all, nothing is left to be taken back.
    let include = Patterns::parse(["d.odd"]);
    let (_, outcome) = scene.restore(&link, &kept, Options { include, ..scene.options() });
    assert_eq!((outcome.troubles(), outcome.undo), (1, None), "{outcome:#?}");
    assert!(undo_verb::newest(&scene.repo.snapshots().unwrap(), None).is_none());
}

//! Writing into a real server: every byte as it was, whatever the document holds.

use bytes::Bytes;
use icecore::{
    document::{Writer, elements, get, namespace::Namespace},
    mongo::{Connect, Link, Purpose},
    sink::mongo::{self as sink, Op, Order, Report, Writers},
};
use mongodb::bson::doc;

use crate::mongod::{Ability, Deployment, Lossy, can, has};

fn link(deployment: &Deployment) -> Link {
    Link::connect(&deployment.uri(), &Connect::to(Purpose::Write)).unwrap()
}

fn document(id: i32, write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::new();
    writer.push_i32(b"_id", id);
    write(&mut writer);
    writer.finish().into()
}

/// Documents that one way of writing or another changes, refuses or dies of.
pub fn awkward() -> Vec<Bytes> {
    let inner = document(0, |writer| {
        writer.push_i32(b"$a", 1);
        writer.push_timestamp(b"t", 0);
        (0..2).for_each(|value| writer.push_i32(b"d", value));
    });
    let mut all = vec![
        document(0, |_| ()),
        document(1, |writer| writer.push_timestamp(b"t", 0)),
        document(2, |writer| {
            writer.push_timestamp(b"t", 0);
            writer.push_i32(b"$a", 1);
            writer.push_i32(b"b.c", 1);
            writer.push_i32(b"", 1);
        }),
        document(3, |writer| (0..2).for_each(|value| writer.push_i32(b"d", value))),
        document(4, |writer| {
            writer.push_i32(b"$set", 1);
            (0..2).for_each(|value| writer.push_i32(b"d", value));
        }),
        document(5, |writer| writer.push_str(b"not \xff text", b"\xfe\xff")),
        document(6, |writer| writer.push_doc(b"inner", &inner)),
        document(7, |writer| writer.push_f64(b"n", f64::NAN)),
    ];
    if !can(Ability::DollarNames) {
        let is_odd = |name: &[u8]| name.starts_with(b"$");
        all.retain(|one| !elements(one).any(|field| is_odd(field.unwrap().name)));
    }
    all
}

fn all(link: &Link, place: &Namespace) -> Vec<Vec<u8>> {
    let mut command = Writer::new();
    command.push_str(b"find", &place.collection);
    let mut found = link.list(&place.db, &command.finish()).unwrap();
    found.sort_by_key(|document| get(document, b"_id").unwrap().unwrap().as_i64());
    found
}

fn write(link: &Link, place: &Namespace, order: Order, ops: Vec<Op>) -> Report {
    let mut writers = Writers::start(link, place, order, 4);
    ops.into_iter().for_each(|op| writers.push(op).unwrap());
    writers.finish().unwrap()
}

fn inserts(documents: &[Bytes]) -> Vec<Op> {
    documents.iter().map(|document| Op::Insert { document: document.clone() }).collect()
}

#[test]
pub fn awkward_documents_are_inserted_replaced_and_removed_byte_for_byte() {
    let deployment = Deployment::replica_set();
    let link = link(&deployment);
    let has_dollar = |one: &Bytes| one.windows(2).any(|pair| pair == b"$a");
    let removes = |documents: &[Bytes]| {
        documents.iter().map(|was| Op::Remove { was: was.clone() }).collect::<Vec<_>>()
    };
    for order in [Order::Any, Order::Kept] {
        let mut documents = awkward();
        let many = documents.len() as u64;
        let place = Namespace::new("d", format!("{order:?}"));
        let report = write(&link, &place, order, inserts(&documents));
        assert_eq!((report.inserted, report.failures.count()), (many, 0), "{:?}", report.failures);
        assert_eq!(all(&link, &place), documents);
        if !has(Ability::DollarNames) {
            // Even within, `$` can be inserted there, but takes no other document's place.
            let odd: Vec<Bytes> = documents.extract_if(.., |one| has_dollar(one)).collect();
            assert_eq!(write(&link, &place, order, removes(&odd)).removed, odd.len() as u64);
        }
        let many = documents.len() as u64;
        // Each takes the place of a plain one, and a plain one its.
        let id_of = |document: &Bytes| get(document, b"_id").unwrap().unwrap().as_i64().unwrap();
        let plain = |one: &Bytes| document(id_of(one) as i32, |w| w.push_i32(b"x", 1));
        let plain: Vec<_> = documents.iter().map(plain).collect();
        for (old, new) in [(&documents, &plain), (&plain, &documents)] {
            let pairs = old.iter().zip(new).map(|(was, document)| Op::Replace {
                document: document.clone(),
                was: was.clone(),
            });
            let report = write(&link, &place, order, pairs.collect());
            let done = (report.replaced, report.failures.count());
            assert_eq!(done, (many, 0), "{:?}", report.failures);
            assert_eq!(&all(&link, &place), new);
        }
        assert_eq!(write(&link, &place, order, removes(&documents)).removed, many);
        assert!(all(&link, &place).is_empty());
    }
    let hopeless = document(9, |writer| {
        writer.push_timestamp(b"t", 0);
        (0..2).for_each(|value| writer.push_i32(b"d", value));
    });
    let place = Namespace::new("d", "hopeless");
    let report = write(&link, &place, Order::Any, inserts(&[hopeless]));
    assert_eq!((report.inserted, report.failures.count()), (0, 1), "it is not written changed");
    sink::wait_for_majority(&link, &Namespace::new("d", "Any")).unwrap();
}

#[test]
fn what_others_changed_meanwhile_is_left_and_told() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let place = Namespace::new("d", "c");
    let [seen, other] = [1, 2].map(|value| document(7, |writer| writer.push_i32(b"a", value)));
    write(&link, &place, Order::Any, inserts(std::slice::from_ref(&other)));
    let new = document(7, |writer| writer.push_i32(b"a", 3));
    for op in [
        Op::Replace { document: new.clone(), was: seen.clone() },
        Op::Remove { was: seen },
        Op::Insert { document: new.clone() },
        // This one is written by an update that inserts.
        Op::Insert { document: document(7, |writer| writer.push_timestamp(b"t", 0)) },
    ] {
        let report = write(&link, &place, Order::Any, vec![op.clone()]);
        assert_eq!(report.failures.count(), 1, "{op:?}");
        assert_eq!(report.inserted + report.replaced + report.removed, 0, "{op:?}");
    }
    assert_eq!(all(&link, &place), std::slice::from_ref(&other));
    let report = write(&link, &place, Order::Any, vec![Op::Replace { document: new, was: other }]);
    assert_eq!(report.replaced, 1);
}

#[test]
fn what_only_the_servers_own_comparison_takes_for_the_same_is_another_document() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let place = Namespace::new("d", "c");
    let collation = doc! { "locale": "en", "strength": 1 };
    deployment.command("d", doc! { "create": "c", "collation": collation });
    let text = |text: &str| document(1, |writer| writer.push_str(b"a", text));
    let number = document(2, |writer| writer.push_i32(b"a", 1));
    let fraction = document(2, |writer| writer.push_f64(b"a", 1.0));
    let live = [text("\u{c4}BC"), fraction];
    write(&link, &place, Order::Any, inserts(&live));
    for seen in [text("abc"), number] {
        let id = get(&seen, b"_id").unwrap().unwrap().as_i64().unwrap() as i32;
        let new = document(id, |writer| writer.push_i32(b"a", 3));
        for op in [Op::Replace { document: new, was: seen.clone() }, Op::Remove { was: seen }] {
            let report = write(&link, &place, Order::Any, vec![op.clone()]);
            assert_eq!(report.failures.count(), 1, "{op:?}");
        }
    }
    assert_eq!(all(&link, &place), live);
    // The very ones are found, and those whose `_id` is a text.
    let mut named = Writer::new();
    named.push_str(b"_id", "seven");
    let named = Bytes::from(named.finish());
    write(&link, &place, Order::Any, inserts(std::slice::from_ref(&named)));
    let removes = live.into_iter().chain([named]).map(|was| Op::Remove { was });
    assert_eq!(write(&link, &place, Order::Any, removes.collect()).removed, 3);
}

#[test]
fn a_document_that_goes_and_comes_is_not_lost_with_an_answer() {
    if !can(Ability::DollarNames) {
        return;
    }
    let deployment = Deployment::standalone();
    let way = Lossy::to(deployment.members[0].port);
    let link = Link::connect(&way.uri(), &Connect::to(Purpose::Write)).unwrap();
    let place = Namespace::new("d", "c");
    let plain = |id: i32| document(id, |writer| writer.push_i32(b"rank", id));
    let odd = |id: i32, rank: i32| {
        document(id, |writer| {
            writer.push_i32(b"$set", 1);
            (0..2).for_each(|value| writer.push_i32(b"d", value));
            writer.push_i32(b"rank", rank);
        })
    };
    for (id, command) in [(1, "delete"), (2, "insert")] {
        let (was, odd) = (plain(id), odd(id, id));
        write(&link, &place, Order::Any, inserts(std::slice::from_ref(&was)));
        way.lose_the_answer_to(command);
        let op = Op::Replace { document: odd.clone(), was };
        let report = write(&link, &place, Order::Any, vec![op]);
        assert_eq!((report.replaced, report.failures.count()), (1, 0), "{command}");
        assert_eq!(all(&link, &place).last().unwrap(), &odd, "{command}");
    }
    // Nor with a key that another has.
    let spec = doc! { "key": { "rank": 1 }, "name": "r", "unique": true }.to_vec();
    sink::build(&link, &place, &[spec.unwrap()]).unwrap();
    let was = [plain(3), document(4, |writer| writer.push_timestamp(b"t", 0))];
    write(&link, &place, Order::Any, inserts(&was));
    for was in was {
        let id = get(&was, b"_id").unwrap().unwrap().as_i64().unwrap() as i32;
        let op = Op::Replace { document: odd(id, 1), was: was.clone() };
        let report = write(&link, &place, Order::Any, vec![op]);
        assert_eq!((report.replaced, report.failures.count()), (0, 1));
        assert!(report.failures.told[0].why.contains("rank"), "{:?}", report.failures);
        assert!(all(&link, &place).contains(&was.to_vec()), "{id} stays as it was");
    }
}

#[test]
fn an_order_that_is_kept_ends_with_the_first_that_fails() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let plain = |id: i32| document(id, |_| ());
    let special = |id: i32| document(id, |writer| writer.push_timestamp(b"t", 0));
    let hopeless = |id: i32| {
        document(id, |writer| {
            writer.push_timestamp(b"t", 0);
            (0..2).for_each(|value| writer.push_i32(b"d", value));
        })
    };
    // What some of 2,500 are, and whether there is another in the place of one already.
    type Odd<'a> = &'a dyn Fn(i32) -> Bytes;
    let cases: [(&str, Odd, std::ops::Range<i32>, bool); 3] = [
        ("plain", &plain, 0..0, true),
        ("special", &special, 298..303, true),
        ("hopeless", &hopeless, 300..301, false),
    ];
    for (name, odd, which, is_there) in cases {
        let place = Namespace::new("d", name);
        let other = document(300, |writer| writer.push_i32(b"other", 1));
        if is_there {
            write(&link, &place, Order::Kept, inserts(std::slice::from_ref(&other)));
        }
        let one = |id| if which.contains(&id) { odd(id) } else { plain(id) };
        let documents: Vec<Bytes> = (0..2500).map(one).collect();
        let report = write(&link, &place, Order::Kept, inserts(&documents));
        let (found, mut wanted) = (all(&link, &place), documents[..300].to_vec());
        wanted.extend(is_there.then_some(other));
        // What comes after it would leave a hole.
        assert!(found == wanted, "{name}: {} are there", found.len());
        assert_eq!((report.inserted, report.failures.count()), (300, 2200), "{name}");
        let told = report.failures.told.iter();
        let told: Vec<bool> = told.map(|failure| failure.why == "one before it failed").collect();
        assert!(told.len() > 1 && !told[0] && told[1..].iter().all(|told| *told), "{name}");
        assert_eq!(report.failures.told[0].id, document(300, |_| ()), "{name}");
    }
}

#[test]
fn an_order_that_is_kept_goes_on_behind_what_a_lost_answer_was_about() {
    let deployment = Deployment::standalone();
    let way = Lossy::to(deployment.members[0].port);
    let link = Link::connect(&way.uri(), &Connect::to(Purpose::Write)).unwrap();
    let plain = |id: i32| document(id, |_| ());
    let special = |id: i32| document(id, |writer| writer.push_timestamp(b"t", 0));
    let other = document(700, |writer| writer.push_i32(b"other", 1));
    type Make<'a> = &'a dyn Fn(i32) -> Bytes;
    let cases: [(&str, Make, &str, bool); 4] = [
        ("plain", &plain, "insert", false),
        ("special", &special, "update", false),
        ("plain to the first that fails", &plain, "insert", true),
        ("special to the first that fails", &special, "update", true),
    ];
    for (name, make, command, is_in_the_way) in cases {
        let place = Namespace::new("d", name);
        let documents: Vec<Bytes> = (0..1500).map(make).collect();
        // As if the first try had come so far when its connection was lost.
        write(&link, &place, Order::Kept, inserts(&documents[..300]));
        if is_in_the_way {
            write(&link, &place, Order::Any, inserts(std::slice::from_ref(&other)));
        }
        way.lose_the_answer_to(command);
        let report = write(&link, &place, Order::Kept, inserts(&documents));
        let found = all(&link, &place);
        let wanted = if is_in_the_way { 700 } else { 1500 };
        assert_eq!(found[..wanted], documents[..wanted], "{name}");
        assert_eq!(found.len(), wanted + usize::from(is_in_the_way), "{name}");
        let failed = report.failures.count();
        assert_eq!((report.inserted, failed), (wanted as u64, 1500 - wanted as u64), "{name}");
    }
}

/// A document that a server can't read, so deep it is.
fn too_deep(id: i32, write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut inner = Writer::new().finish();
    for _ in 0..300 {
        let mut outer = Writer::new();
        outer.push_doc(b"d", &inner);
        inner = outer.finish();
    }
    document(id, |writer| {
        write(writer);
        writer.push_doc(b"deep", &inner);
    })
}

#[test]
fn a_command_that_is_refused_for_one_document_fails_for_that_one_alone() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let place = Namespace::new("d", "c");
    let plain: Vec<Bytes> = (0..10).map(|id| document(id, |_| ())).collect();
    // It goes in a command of its own, after the plain ones are in.
    let deep = too_deep(99, |writer| writer.push_timestamp(b"t", 0));
    let ops = inserts(&[&plain[..], std::slice::from_ref(&deep)].concat());
    let report = write(&link, &place, Order::Any, ops.clone());
    let failures = &report.failures;
    assert_eq!((report.inserted, failures.count()), (10, 1), "{failures:?}");
    assert_eq!(failures.told[0].id, document(99, |_| ()));
    let is_of_the_command = |report: &Report, name: &str| {
        let why = &report.failures.told[0].why;
        assert!(why.starts_with(&format!("{name} on d.c failed")), "{why}");
    };
    is_of_the_command(&report, "update");
    assert_eq!(all(&link, &place), plain);
    let in_order = Namespace::new("d", "in_order");
    let report = write(&link, &in_order, Order::Kept, ops);
    assert_eq!((report.inserted, report.failures.count()), (10, 1), "{:?}", report.failures);

    // Replaced in two steps, the old one comes back when the new one is refused.
    let odd = too_deep(3, |writer| {
        writer.push_i32(b"$set", 1);
        (0..2).for_each(|value| writer.push_i32(b"d", value));
    });
    let new = document(4, |writer| writer.push_i32(b"new", 1));
    let ops = [(&odd, &plain[3]), (&new, &plain[4])]
        .map(|(document, was)| Op::Replace { document: document.clone(), was: was.clone() });
    let report = write(&link, &place, Order::Any, ops.to_vec());
    assert_eq!((report.replaced, report.failures.count()), (1, 1), "{:?}", report.failures);
    is_of_the_command(&report, "insert");
    let found = all(&link, &place);
    assert_eq!((found.len(), &found[3], &found[4]), (10, &plain[3].to_vec(), &new.to_vec()));
}

#[test]
fn users_that_can_not_all_be_put_are_not_merged() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let user = |name: &str| {
        let user = doc! { "_id": "d.ann", "user": name, "db": "d", "roles": [] };
        Bytes::from(user.to_vec().unwrap())
    };
    let users = vec![user("ann"), user("anne")];
    let authority = sink::Authority { users, roles: Vec::new() };
    let error = sink::merge_authority(&link, &authority, false).unwrap_err();
    assert!(error.cause().to_string().contains("tempusers"), "{}", error.cause());
    let left = sink::collections(&link, "admin").unwrap();
    assert!(!left.iter().any(|one| one.name == "tempusers"));
}

#[test]
fn unique_keys_may_change_places() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let place = Namespace::new("d", "c");
    let rank = |id: i32, rank: i32| document(id, |writer| writer.push_i32(b"rank", rank));
    let before: Vec<Bytes> = (0..50).map(|id| rank(id, id)).collect();
    write(&link, &place, Order::Any, inserts(&before));
    let spec = doc! { "key": { "rank": 1 }, "name": "r", "unique": true }.to_vec();
    let built = sink::build(&link, &place, &[spec.unwrap()]).unwrap();
    assert_eq!(built.built, ["r"]);
    // Each takes the rank of the one before it, and the first one goes: an order that works is
    // found, since each frees what another needs.
    let mut ops: Vec<Op> = (1..50)
        .map(|id| Op::Replace { document: rank(id, id - 1), was: before[id as usize].clone() })
        .rev()
        .collect();
    ops.push(Op::Remove { was: before[0].clone() });
    let report = write(&link, &place, Order::Any, ops);
    assert_eq!((report.replaced, report.removed), (49, 1), "{:?}", report.failures);
    // One that can't be had is told.
    let report = write(&link, &place, Order::Any, inserts(&[rank(99, 5)]));
    assert!(report.failures.told[0].why.contains("rank"), "{:?}", report.failures);
}

#[test]
fn options_that_a_server_does_not_know_are_left_out_but_for_those_of_a_time_series() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let create = |name: &str, options: mongodb::bson::Document| {
        sink::create(&link, &Namespace::new("d", name), &options.to_vec().unwrap(), None)
    };
    let created = create("plain", doc! { "unheardOf": 1, "validator": { "a": 1 } }).unwrap();
    assert_eq!(created.options_left_out, ["unheardOf"]);
    // What would be made without is an ordinary collection, and takes no buckets.
    let series = doc! { "timeseries": { "timeField": "t", "unheardOf": 1 } };
    let error = create("series", series).unwrap_err();
    assert!(error.cause().to_string().contains("is an unknown field"), "{error}");
    let names: Vec<String> =
        sink::collections(&link, "d").unwrap().into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["plain"]);
}

#[test]
fn indexes_that_can_not_be_built_do_not_stop_the_others() {
    let deployment = Deployment::standalone();
    let link = link(&deployment);
    let place = Namespace::new("d", "c");
    let same = |id: i32| document(id, |writer| writer.push_i32(b"a", 1));
    write(&link, &place, Order::Any, inserts(&[same(1), same(2)]));
    let specs = [
        doc! { "v": 2, "key": { "b": 1 }, "name": "b", "ns": "other.name" },
        doc! { "v": 2, "key": { "a": 1 }, "name": "a", "unique": true },
        doc! { "v": 2, "key": { "c": 1.0 }, "name": "c", "unheardOf": true },
        doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" },
    ];
    let specs = specs.map(|spec| spec.to_vec().unwrap());
    let asked = sink::wanted(&specs, &Writer::new().finish());
    let built = sink::build(&link, &place, &asked).unwrap();
    assert_eq!(built.built, ["b", "c"]);
    assert_eq!(built.failed[0].0, "a");
    assert!(built.options_left_out);
    let names: Vec<String> =
        sink::indexes(&link, &place).unwrap().iter().map(|spec| sink::name_of(spec)).collect();
    assert_eq!(names, ["_id_", "b", "c"]);
    sink::drop_index(&link, &place, "b").unwrap();
    sink::drop_index(&link, &place, "b").unwrap();
    assert_eq!(sink::indexes(&link, &place).unwrap().len(), 2);
}

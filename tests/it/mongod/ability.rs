//! What not every server of the matrix can do, and how a test says that it leaves it out.

use std::{fs::OpenOptions, io::Write as _, thread};

use mongodb::bson::{Document, doc};

use super::{Deployment, version};

/// Something that only servers from a certain version on can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// `readConcern: snapshot` with a time of one's choice, outside of transactions.
    ReadAsOfAMoment,
    /// Names of fields at the top of a document that begin with `$`.
    DollarNames,
    TimeSeries,
    /// `$mod` goes by the integral part of a fraction, and finds no `NaN` and no infinity. Older
    /// servers round to the nearest.
    ModOfFractions,
    /// Changes of documents are diffs in the oplog (`$v: 2`), with which fields keep their order.
    DiffsInOplog,
    /// The oplog has the documents that fall out of a capped collection.
    CappedDeletesInOplog,
    ClusteredCollections,
    /// `changeStreamPreAndPostImages` as an option of a collection.
    PreAndPostImages,
    /// `prepareUnique` as an option of an index.
    PrepareUnique,
    /// `encryptedFields` as an option of a collection.
    EncryptedFields,
}

impl Ability {
    /// The first version that has it.
    fn since(self) -> (u32, u32) {
        match self {
            Ability::ReadAsOfAMoment
            | Ability::DollarNames
            | Ability::TimeSeries
            | Ability::ModOfFractions
            | Ability::DiffsInOplog
            | Ability::CappedDeletesInOplog => (5, 0),
            Ability::ClusteredCollections => (5, 3),
            Ability::PreAndPostImages | Ability::PrepareUnique | Ability::EncryptedFields => (6, 0),
        }
    }
}

/// Whether the servers of this run have it. A test that goes on without it has left something
/// out: that is written to the file that `ICECORE_TEST_LEFT_OUT` names, and to standard error.
pub fn can(ability: Ability) -> bool {
    let has = has(ability);
    if !has {
        tell(ability);
    }
    has
}

/// As [`can`], where the other branch tests as much: nothing is left out.
pub fn has(ability: Ability) -> bool {
    let version = version();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= ability.since()
}

fn tell(ability: Ability) {
    let (major, minor) = ability.since();
    let test = std::env::var("NEXTEST_TEST_NAME")
        .unwrap_or_else(|_| thread::current().name().unwrap_or("a test").to_owned());
    let line = format!("{}: {test}: no {ability:?} (since {major}.{minor})\n", version());
    eprint!("left out on {line}");
    if let Ok(file) = std::env::var("ICECORE_TEST_LEFT_OUT") {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Whether the server does it when it is asked to.
fn does(set: &Deployment, ability: Ability) -> bool {
    let create = |more: Document| {
        let mut command = doc! { "create": format!("{ability:?}") };
        command.extend(more);
        set.try_command("d", command).is_ok()
    };
    let by_id = doc! { "key": { "_id": 1 }, "unique": true };
    match ability {
        Ability::ReadAsOfAMoment => {
            let at = set.command("admin", doc! { "ping": 1 }).get_timestamp("operationTime");
            let concern = doc! { "level": "snapshot", "atClusterTime": at.unwrap() };
            set.try_command("d", doc! { "find": "c", "readConcern": concern }).is_ok()
        }
        Ability::DollarNames => {
            let insert = doc! { "insert": "c", "documents": [{ "$a": 1 }] };
            let reply = set.try_command("d", insert);
            reply.is_ok_and(|reply| !reply.contains_key("writeErrors"))
        }
        Ability::TimeSeries => create(doc! { "timeseries": { "timeField": "t" } }),
        Ability::ModOfFractions => {
            let numbers = [doc! { "_id": "half", "a": 1.5 }, doc! { "_id": "all", "a": f64::NAN }];
            set.command("d", doc! { "insert": "n", "documents": numbers.to_vec() });
            let count = |rest: i32| {
                let query = doc! { "a": { "$mod": [2, rest] } };
                set.command("d", doc! { "count": "n", "query": query }).get_i32("n").unwrap()
            };
            (count(0), count(1)) == (0, 1)
        }
        Ability::DiffsInOplog => {
            let update = doc! { "q": { "_id": 1 }, "u": { "$set": { "a": 1 } } };
            set.command("d", doc! { "update": "c", "updates": [update] });
            in_oplog(set, doc! { "ns": "d.c", "op": "u", "o.$v": 2 })
        }
        Ability::CappedDeletesInOplog => {
            create(doc! { "capped": true, "size": 4096, "max": 1 });
            let name = format!("{ability:?}");
            for id in 0..2 {
                set.command("d", doc! { "insert": &name, "documents": [{ "_id": id }] });
            }
            in_oplog(set, doc! { "ns": format!("d.{name}"), "op": "d" })
        }
        Ability::ClusteredCollections => create(doc! { "clusteredIndex": by_id }),
        Ability::PreAndPostImages => {
            create(doc! { "changeStreamPreAndPostImages": { "enabled": true } })
        }
        Ability::PrepareUnique => {
            let index = doc! { "key": { "a": 1 }, "name": "a", "prepareUnique": true };
            set.try_command("d", doc! { "createIndexes": "c", "indexes": [index] }).is_ok()
        }
        Ability::EncryptedFields => create(doc! { "encryptedFields": { "fields": [] } }),
    }
}

fn in_oplog(set: &Deployment, filter: Document) -> bool {
    let count = doc! { "count": "oplog.rs", "query": filter };
    set.command("local", count).get_i32("n").unwrap() > 0
}

#[test]
fn servers_can_do_what_the_list_says_and_nothing_more() {
    let set = Deployment::replica_set();
    set.command("d", doc! { "insert": "c", "documents": [{ "_id": 1 }] });
    for ability in [
        Ability::ReadAsOfAMoment,
        Ability::DollarNames,
        Ability::TimeSeries,
        Ability::ModOfFractions,
        Ability::DiffsInOplog,
        Ability::CappedDeletesInOplog,
        Ability::ClusteredCollections,
        Ability::PreAndPostImages,
        Ability::PrepareUnique,
        Ability::EncryptedFields,
    ] {
        assert_eq!(does(&set, ability), has(ability), "{ability:?} on {}", version());
    }
}

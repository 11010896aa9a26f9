//! A shop's database for the demo and the benches: fills it, changes it, tells its hashes.
//!
//! ```text
//! shop initiate PORT     a replica set of one, and wait for it
//! shop load URI COUNT    COUNT orders, their customers and a view
//! shop change URI PART   one order in PART gets a new note
//! shop hashes URI DB     dbHash of each collection
//! shop bytes URI DB      of BSON in all its collections
//! shop copy FROM TO DB   as mongorestore writes, from memory: what any restore can be held against
//! ```

use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use mongodb::{
    Client, Collection, Database, IndexModel,
    bson::{Bson, DateTime, Document, RawDocumentBuf, doc, oid::ObjectId},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const WORDS: &[&str] = &[
    "ice", "core", "layer", "drill", "depth", "winter", "summer", "dust", "ash", "salt", "bubble",
    "air", "trace", "year", "snow", "glacier", "melt", "north", "south", "camp", "plane", "sledge",
    "tent", "stove", "tea", "rope", "map", "log", "page", "ink", "pencil", "clock",
];
const BATCH: u64 = 1000;
const WRITERS: u64 = 4;

fn main() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    tokio::runtime::Runtime::new()?.block_on(run(&words))
}

async fn run(words: &[&str]) -> Outcome<()> {
    match *words {
        ["initiate", port] => initiate(port).await,
        ["load", uri, count] => load(&shop(uri).await?, count.parse()?).await,
        ["change", uri, part] => change(&shop(uri).await?, part.parse()?).await,
        ["copy", from, to, db] => {
            let (from, to) = (Client::with_uri_str(from).await?, Client::with_uri_str(to).await?);
            copy(&from.database(db), &to.database(db)).await
        }
        ["bytes", uri, db] => bytes(&Client::with_uri_str(uri).await?.database(db)).await,
        ["hashes", uri, db] => hashes(&Client::with_uri_str(uri).await?.database(db)).await,
        _ => Err("see the first lines of examples/shop.rs".into()),
    }
}

async fn shop(uri: &str) -> Outcome<Database> {
    Ok(Client::with_uri_str(uri).await?.database("shop"))
}

async fn initiate(port: &str) -> Outcome<()> {
    let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
    let admin = Client::with_uri_str(uri).await?.database("admin");
    let host = format!("127.0.0.1:{port}");
    let config = doc! { "_id": "rs", "members": [{ "_id": 0, "host": host }] };
    admin.run_command(doc! { "replSetInitiate": config }).await?;
    while !admin.run_command(doc! { "hello": 1 }).await?.get_bool("isWritablePrimary")? {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn load(shop: &Database, count: u64) -> Outcome<()> {
    let orders: Collection<Document> = shop.collection("orders");
    // As drivers make ids: one is newer than another when its insert began later.
    let next = Arc::new(AtomicU64::new(0));
    let writers = (0..WRITERS).map(|_| {
        let (orders, next) = (orders.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= count {
                    break;
                }
                let batch = (first..count.min(first + BATCH)).map(order);
                orders.insert_many(batch).ordered(false).await?;
            }
            Ok::<_, mongodb::error::Error>(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    let customers =
        (0..count / 20 + 1).map(|n| doc! { "_id": format!("c{n}"), "name": text(n, 2) });
    let customers: Vec<Document> = customers.collect();
    for some in customers.chunks(BATCH as usize) {
        shop.collection::<Document>("customers").insert_many(some).await?;
    }
    let index = doc! { "key": { "customer": 1, "at": -1 }, "name": "customer_at" };
    let state = doc! { "key": { "state": 1 }, "name": "state" };
    shop.run_command(doc! { "createIndexes": "orders", "indexes": [index, state] }).await?;
    let open = doc! { "$match": { "state": "open" } };
    shop.run_command(doc! { "create": "open_orders", "viewOn": "orders", "pipeline": [open] })
        .await?;
    Ok(())
}

/// Collection by collection, each read into memory first; four workers, each with unordered batches
/// of 1,000 documents, then the indexes. Tells what the writing took, the reading left out.
async fn copy(from: &Database, to: &Database) -> Outcome<()> {
    let (mut count, mut inserting, mut indexing) = (0, Duration::ZERO, Duration::ZERO);
    let mut names = from.list_collection_names().filter(doc! { "type": "collection" }).await?;
    names.retain(|name| !name.starts_with("system."));
    names.sort_unstable();
    for name in names {
        let whole = from.collection::<RawDocumentBuf>(&name);
        let documents: Vec<RawDocumentBuf> = whole.find(doc! {}).await?.try_collect().await?;
        count += documents.len();
        let target = to.collection::<RawDocumentBuf>(&name);
        let start = Instant::now();
        insert(&target, documents).await?;
        inserting += start.elapsed();
        let start = Instant::now();
        let indexes: Vec<IndexModel> = whole.list_indexes().await?.try_collect().await?;
        let is_of_id = |index: &IndexModel| index.keys == doc! { "_id": 1 };
        let indexes: Vec<_> = indexes.into_iter().filter(|index| !is_of_id(index)).collect();
        if !indexes.is_empty() {
            target.create_indexes(indexes).await?;
        }
        indexing += start.elapsed();
    }
    let (inserting, indexing) = (inserting.as_secs_f64(), indexing.as_secs_f64());
    println!(
        "{count} documents inserted in {inserting:.2} s, indexed in {indexing:.2} s: {:.2} s",
        inserting + indexing
    );
    Ok(())
}

async fn insert(
    target: &Collection<RawDocumentBuf>,
    documents: Vec<RawDocumentBuf>,
) -> Outcome<()> {
    let documents = std::sync::Arc::new(documents);
    let workers = (0..WRITERS as usize).map(|worker| {
        let (target, documents) = (target.clone(), documents.clone());
        tokio::spawn(async move {
            let batches = documents.chunks(BATCH as usize);
            for batch in batches.skip(worker).step_by(WRITERS as usize) {
                target.insert_many(batch).ordered(false).bypass_document_validation(true).await?;
            }
            Ok::<_, mongodb::error::Error>(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    Ok(())
}

/// One order in `part` of all, spread over the collection.
async fn change(shop: &Database, part: u64) -> Outcome<()> {
    let orders: Collection<Document> = shop.collection("orders");
    let count = orders.estimated_document_count().await?;
    let ids: Vec<ObjectId> = (0..count).filter(|n| mix(*n).is_multiple_of(part)).map(id).collect();
    for some in ids.chunks(BATCH as usize) {
        let which = doc! { "_id": { "$in": some } };
        let note = format!("{:016x}", mix(count + some.len() as u64));
        orders
            .update_many(which, doc! { "$inc": { "version": 1 }, "$set": { "note": note } })
            .await?;
    }
    println!("{} of {count} orders changed", ids.len());
    Ok(())
}

async fn bytes(db: &Database) -> Outcome<()> {
    let answer = db.run_command(doc! { "dbStats": 1 }).await?;
    let bytes = answer.get("dataSize").ok_or("dbStats tells no dataSize")?;
    println!("{}", bytes.as_f64().map_or(bytes.to_string(), |bytes| format!("{bytes:.0}")));
    Ok(())
}

async fn hashes(db: &Database) -> Outcome<()> {
    let answer = db.run_command(doc! { "dbHash": 1 }).await?;
    for (collection, hash) in answer.get_document("collections")? {
        println!("{collection} {}", hash.as_str().unwrap_or("?"));
    }
    Ok(())
}

/// Some 540 bytes: twelve fields, a document in it, an array, a token that does not shrink, text.
fn order(number: u64) -> Document {
    let dice = mix(number);
    let state = ["open", "paid", "sent", "done"][(dice >> 8) as usize % 4];
    let lines: Vec<Bson> = (0..1 + dice % 3)
        .map(|line| {
            Bson::from(
                doc! { "sku": format!("S{:05}", mix(dice + line) % 9000), "n": 1 + line as i32 },
            )
        })
        .collect();
    doc! {
        "_id": id(number),
        "version": 1_i64,
        "customer": format!("c{}", dice % (number / 20 + 1)),
        "at": DateTime::from_millis(1_700_000_000_000 + number as i64 * 977),
        "state": state,
        "price": (dice % 100_000) as f64 / 100.0,
        "paid": !dice.is_multiple_of(3),
        "address": { "street": text(dice, 2), "zip": (dice % 99_999) as i32, "country": "IS" },
        "lines": lines,
        "token": format!("{:016x}{:016x}", mix(dice), mix(dice + 1)),
        "text": text(dice, 26),
        "rank": (dice % 50) as i32,
    }
}

fn id(number: u64) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&(1_700_000_000 + number as u32 / 1000).to_be_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

fn text(seed: u64, words: u64) -> String {
    let word = |n| WORDS[mix(seed ^ (n << 40)) as usize % WORDS.len()];
    (0..words).map(word).collect::<Vec<_>>().join(" ")
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

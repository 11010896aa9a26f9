//! A server that makes whoever asks for something ask again, for as long as a test needs.

use mongodb::bson::{Bson, Document, doc};

use crate::mongod::Deployment;

/// Some commands are not answered, but for the first few; whoever asks is told to try again.
pub struct Held<'a> {
    set: &'a Deployment,
    /// How often that had been done to anybody before.
    before: i64,
}

impl<'a> Held<'a> {
    pub fn of(set: &'a Deployment, commands: &[&str], answered: i32) -> Held<'a> {
        // CursorNotFound, after which a link waits a little and asks once more.
        let data = doc! { "failCommands": commands.to_vec(), "errorCode": 43 };
        let reply = configure(set, doc! { "mode": { "skip": answered }, "data": data });
        Held { set, before: count(&reply) }
    }

    /// Until somebody asked and was not answered.
    pub fn await_one(&self) {
        let wait = doc! {
            "waitForFailPoint": "failCommand",
            "timesEntered": self.before + 1,
            "maxTimeMS": 60_000,
        };
        self.set.command("admin", wait);
    }

    /// From now on everybody is answered. How often one was not.
    pub fn let_go(self) -> i64 {
        count(&configure(self.set, doc! { "mode": "off" })) - self.before
    }
}

fn configure(set: &Deployment, how: Document) -> Document {
    let mut command = doc! { "configureFailPoint": "failCommand" };
    command.extend(how);
    set.command("admin", command)
}

/// How often a point of failure was met, which the reply says that configures it.
pub fn count(reply: &Document) -> i64 {
    match reply.get("count") {
        Some(Bson::Int32(count)) => (*count).into(),
        Some(Bson::Int64(count)) => *count,
        other => panic!("{other:?}"),
    }
}

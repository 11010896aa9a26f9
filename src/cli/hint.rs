//! What an error of the library means to a person: an exit code, and what to type next.

use std::error::Error;

use icecore::{
    mongo,
    repo::{self, collect},
    source,
    store::{self, ErrorKind},
    tree,
    verbs::{self, forget::Refused, select::NotOne},
};

use super::{
    exit::Exit,
    shelf::{InDoubt, NO_DOUBT},
    units,
};

/// An exit code, and perhaps something to type.
type Meaning = (Exit, Option<String>);

/// The first error of the chain that has a meaning decides.
pub fn exit(error: &(dyn Error + 'static)) -> Exit {
    meaning(error).map_or(Exit::Failed, |meaning| meaning.0)
}

pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    meaning(error).and_then(|meaning| meaning.1)
}

fn meaning(error: &(dyn Error + 'static)) -> Option<Meaning> {
    let mut at = Some(error);
    while let Some(error) = at {
        let found = None
            .or_else(|| error.downcast_ref().map(of_repository))
            .or_else(|| error.downcast_ref().map(of_store))
            .or_else(|| error.downcast_ref().map(of_collector))
            .or_else(|| error.downcast_ref().map(of_backup))
            .or_else(|| error.downcast_ref().map(of_restore))
            .or_else(|| error.downcast_ref().map(of_server))
            .or_else(|| error.downcast_ref().map(of_capture))
            .or_else(|| error.downcast_ref().map(of_restore_mongodb))
            .or_else(|| error.downcast_ref().map(of_verb))
            .or_else(|| error.downcast_ref().map(of_tree))
            .or_else(|| error.downcast_ref().map(of_choice))
            .or_else(|| error.downcast_ref().map(of_doubt))
            .or_else(|| error.downcast_ref().map(of_policy))
            .or_else(|| error.downcast_ref().map(of_reading))
            .or_else(|| error.downcast_ref().map(of_mount));
        if let Some(Some(meaning)) = found {
            return Some(meaning);
        }
        at = error.source();
    }
    None
}

fn say(exit: Exit, hint: &str) -> Option<Meaning> {
    Some((exit, Some(hint.to_owned())))
}

/// Of the one that takes the place of a cache that can't be used, or that `--no-cache` uses.
const NO_ROOM_FOR_CACHE: &str =
    "`--cache-dir DIR` names another place; a cache that is gone afterwards lies in TMPDIR";

pub const CHECK: &str = "`icecore check --read-data` says what is damaged and what it touches";

fn of_repository(error: &repo::Error) -> Option<Meaning> {
    use repo::Error::*;
    match error {
        NoRepository => say(
            Exit::NoRepository,
            "`icecore init` makes one, if the place is right and nothing is to be mounted there",
        ),
        ConfigLost => say(
            Exit::Damaged,
            "`config` from a copy of the repository brings it back (`config-2` and `config-3` hold \
             the same bytes); a new repository belongs elsewhere",
        ),
        AlreadyThere => say(Exit::Failed, "`icecore snapshots` shows what is in it"),
        WrongPassword => say(
            Exit::WrongPassword,
            "flags win over variables; of a file or a command it is the first line",
        ),
        LastKey => say(Exit::Failed, "`icecore key add` makes another one first"),
        NoSuchKey { .. } => say(Exit::Failed, "`icecore key list` shows which keys there are"),
        BlobMissing { .. } => say(
            Exit::Damaged,
            "`icecore repair index` finds what is stored but not indexed; then `icecore check`",
        ),
        NoKeys => say(Exit::Damaged, "a copy of the directory `keys` would open it again"),
        NotAtomic => say(
            Exit::Failed,
            "leave out `-o s3.conditional-put=false`; a server that can't do without it needs a \
             repository that `icecore init` made with it",
        ),
        Fenced { .. } => {
            say(Exit::Failed, "run it again: what was stored is found and not sent again")
        }
        Store(error) => of_store(error),
        Before(error) => of_repository(error),
        Cache(_) => say(Exit::Failed, NO_ROOM_FOR_CACHE),
        error if error.is_damage() => say(Exit::Damaged, CHECK),
        _ => None,
    }
}

fn of_store(error: &store::Error) -> Option<Meaning> {
    match error.kind {
        ErrorKind::Full => say(
            Exit::Failed,
            "what was committed is whole; with a little room made there, `icecore prune` frees \
             what no snapshot needs",
        ),
        ErrorKind::Denied => say(
            Exit::Failed,
            "on a disk: whose files are they, and may it be written? In a bucket: which \
             credentials are in AWS_ACCESS_KEY_ID?",
        ),
        ErrorKind::UnknownOption | ErrorKind::BadOption { .. } => Some((Exit::Usage, None)),
        ErrorKind::Unavailable => {
            say(Exit::Failed, "run it again later: it goes on from what was stored")
        }
        _ => None,
    }
}

fn of_collector(error: &collect::Error) -> Option<Meaning> {
    use collect::Error::*;
    match error {
        Store(error) => of_store(error),
        Cache(_) | TornCache => say(Exit::Failed, NO_ROOM_FOR_CACHE),
        Unreadable { .. } => say(
            Exit::Damaged,
            "nothing was deleted. `icecore check` names all that is damaged; from a copy of the \
             repository the object can be put back, and what is removed by hand is given up",
        ),
        Walk { source, .. } => of_walk(source.as_ref()),
        BlobMissing { .. } | NoGoodCopy { .. } => say(Exit::Damaged, CHECK),
        SnapshotsShrank { .. } => say(
            Exit::Rollback,
            "an older state of the store was put back, or somebody removed snapshots by hand; \
             nothing was deleted",
        ),
        ListingsDiffer { .. } => say(
            Exit::Failed,
            "the store's listings can't be relied on just now; nothing was deleted, try again",
        ),
        NoSnapshots { .. } => say(
            Exit::Failed,
            "is all of the repository here, and every disk mounted? If only a first backup that \
             died is in it, `--yes` carries it out",
        ),
        TooMuch { .. } | LastOfSource { .. } => say(
            Exit::Failed,
            "`icecore prune --dry-run` shows the plan; `--yes` carries it out all the same",
        ),
        Cancelled => Some((Exit::Interrupted, None)),
        _ => None,
    }
}

/// Damage, if not a store that can't be reached.
fn of_walk(source: &(dyn Error + 'static)) -> Option<Meaning> {
    meaning(source).or_else(|| say(Exit::Damaged, CHECK))
}

fn of_server(error: &mongo::Error) -> Option<Meaning> {
    let exit = if error.is_of_uri() { Exit::Usage } else { Exit::Failed };
    error.hint().map(|hint| (exit, Some(hint)))
}

// It shows a server's error as itself.
fn of_capture(error: &source::mongo::Error) -> Option<Meaning> {
    if let source::mongo::Error::Server(error) = error {
        return of_server(error);
    }
    error.hint().map(|hint| (Exit::Failed, Some(hint)))
}

fn of_backup(error: &verbs::backup::Error<repo::Error>) -> Option<Meaning> {
    use verbs::backup::Error::*;
    match error {
        Entry { .. } | Record { .. } => say(Exit::Damaged, CHECK),
        Sort(_) => say(Exit::Failed, "TMPDIR names a directory with more room"),
        Cancelled => say(Exit::Interrupted, "run it again: it goes on from what was stored"),
        _ => None,
    }
}

fn of_restore(error: &verbs::restore::Error<repo::Error>) -> Option<Meaning> {
    use verbs::restore::Error::*;
    match error {
        NoSuchPath { path } => Some((Exit::Failed, Some(find_it(path)))),
        NothingMatches { .. } => {
            say(Exit::Failed, "`icecore ls SNAPSHOT` shows what is in it; `/srv` is from the top")
        }
        Cancelled => Some((Exit::Interrupted, None)),
        _ => None,
    }
}

fn of_mount(error: &verbs::mount::Error) -> Option<Meaning> {
    match error {
        verbs::mount::Error::NotEmpty { .. } => {
            say(Exit::Failed, "`mkdir DIR` makes an empty one; `icecore mount DIR` takes it")
        }
        verbs::mount::Error::Dead { mountpoint } => {
            let hint = format!("`fusermount3 -uz {}` takes it away", mountpoint.display());
            Some((Exit::Failed, Some(hint)))
        }
        _ => None,
    }
}

fn of_restore_mongodb(error: &verbs::restore_mongodb::Error) -> Option<Meaning> {
    use verbs::restore_mongodb::Error::*;
    match error {
        Cancelled => Some((Exit::Interrupted, None)),
        Unfinished { undo, source } => {
            let (exit, hint) = meaning(source.as_ref()).unwrap_or((Exit::Failed, None));
            let undo = format!("`icecore undo {}` takes back what it wrote", undo.short());
            Some((exit, Some(hint.map_or(undo.clone(), |hint| format!("{hint}; {undo}")))))
        }
        ListDamaged => say(Exit::Damaged, CHECK),
        NoMongodb => say(Exit::Failed, "`icecore restore SNAPSHOT --target DIR` restores files"),
        QueryOfBuckets { namespace } => {
            Some((Exit::Usage, Some(format!("`--ns-exclude '{namespace}'` leaves it out"))))
        }
        NoSuch { .. } | NothingChosen => {
            say(Exit::Failed, "`icecore ls SNAPSHOT:DATABASE` shows what is in it")
        }
        TwoDatabases { .. } => {
            say(Exit::Usage, "leave the database out of --to, or choose one with SNAPSHOT:DATABASE")
        }
        Rename(_) | Collide { .. } | NoNewestBy => Some((Exit::Usage, None)),
        NoAuthority => {
            say(Exit::Failed, "`icecore backup --with-users-and-roles` takes them into a snapshot")
        }
        AnotherDeployment { record } => {
            let short = record.short();
            let hint = format!("`icecore undo {short} --to URI` takes the one that is named");
            Some((Exit::Usage, Some(hint)))
        }
        NoRestore { .. } => {
            say(Exit::Failed, "`icecore snapshots --tag undo` shows which there are")
        }
        OlderRestore { older, time, .. } => {
            let (short, time) = (older.short(), units::local(*time));
            let hint = format!("`icecore undo {short}` takes back the one before, of {time}");
            Some((Exit::Failed, Some(hint)))
        }
        NoUndo => say(Exit::Failed, "`icecore snapshots --tag undo` shows which there are"),
        _ => None,
    }
}

// Errors that show their cause as themselves hide it from whoever walks the chain.
fn of_verb(error: &verbs::prune::Error) -> Option<Meaning> {
    match error {
        verbs::prune::Error::Repo(error) => of_repository(error),
        verbs::prune::Error::Collect(error) => of_collector(error),
        verbs::prune::Error::Probe(error) => of_store(error),
        verbs::prune::Error::Walk(source) => of_walk(source.as_ref()),
        verbs::prune::Error::TooManyRows => None,
    }
}

fn find_it(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    format!("`icecore find '{name}'` looks in all snapshots")
}

fn of_tree(error: &tree::Error<repo::Error>) -> Option<Meaning> {
    match error {
        tree::Error::Damaged { .. } | tree::Error::ChunkLength { .. } | tree::Error::Piece => {
            say(Exit::Damaged, CHECK)
        }
        _ => None,
    }
}

fn of_doubt(_: &InDoubt) -> Option<Meaning> {
    say(Exit::Damaged, NO_DOUBT)
}

fn of_choice(error: &NotOne) -> Option<Meaning> {
    match error {
        NotOne::Unreadable { .. } | NotOne::NoPlace { .. } | NotOne::NotAPath { .. } => {
            Some((Exit::Usage, None))
        }
        NotOne::Unknown { .. } | NotOne::TooFarBack { .. } => {
            say(Exit::Failed, "`icecore snapshots` shows which there are")
        }
        NotOne::Forgotten { sid, .. } => {
            Some((Exit::Failed, Some(format!("`icecore undelete {}` brings it back", sid.short()))))
        }
        NotOne::NotForgotten { .. } => {
            say(Exit::Failed, "`icecore snapshots --forgotten` shows which can come back")
        }
        NotOne::Ambiguous { .. } => say(Exit::Failed, "more digits of the id make it clear"),
    }
}

fn of_policy(error: &Refused) -> Option<Meaning> {
    match error {
        Refused::EmptyPolicy => {
            say(Exit::Usage, "`--keep-daily 7`, for one; `icecore forget --help` shows all rules")
        }
        Refused::NamesAndPolicy => Some((Exit::Usage, None)),
        Refused::KeepsNone { .. } => {
            say(Exit::Failed, "to forget them all, name them: `icecore forget ID...`")
        }
        Refused::NotOne(error) => of_choice(error),
    }
}

fn of_reading(error: &verbs::Error<repo::Error>) -> Option<Meaning> {
    match error {
        verbs::Error::Entry { .. } => say(Exit::Damaged, CHECK),
        verbs::Error::NoSuchPath { path } => Some((Exit::Failed, Some(find_it(path)))),
        verbs::Error::NoSuchDatabase { .. } | verbs::Error::NoSuchCollection { .. } => {
            say(Exit::Failed, "`icecore ls SNAPSHOT` shows databases, `ls SNAPSHOT:db` collections")
        }
        verbs::Error::NoSuchDocument { .. } => say(
            Exit::Failed,
            "`icecore history db.collection/ID` looks in all snapshots, `icecore ls \
             SNAPSHOT:db.collection` shows ids",
        ),
        verbs::Error::NoDocuments { .. } => {
            say(Exit::Failed, "its documents are those of the collection that it looks at")
        }
        verbs::Error::ADatabase { .. } => {
            say(Exit::Failed, "`icecore ls SNAPSHOT:db` shows its collections")
        }
        verbs::Error::CollectionRecord { .. }
        | verbs::Error::CatalogueKey { .. }
        | verbs::Error::Document { .. }
        | verbs::Error::DocumentLength { .. } => say(Exit::Damaged, CHECK),
        verbs::Error::NotAFile { .. } => {
            say(Exit::Failed, "`icecore ls` and `icecore restore` take directories")
        }
        _ => None,
    }
}

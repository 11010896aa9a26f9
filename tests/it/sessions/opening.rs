//! Repositories made, opened, and opened no more.

use icecore::{
    repo::layout,
    store::{ErrorKind, Name},
};

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn a_wrong_password_and_a_missing_repository_are_told_apart() {
    let world = World::new(21);
    let store: Arc<dyn Store> = world.memory.clone();
    let wrong = SecretString::from("wrong");
    let opened = Repository::open(store, &wrong, small_packs(), world.ambient.clone());
    assert!(matches!(opened, Err(Error::WrongPassword)));
    let empty = world.try_open(Arc::new(MemoryStore::new()), small_packs());
    assert!(matches!(empty, Err(Error::NoRepository)));
    for key in world.names("keys") {
        world.memory.remove(&name(&key)).unwrap();
    }
    let keyless = world.try_open(world.memory.clone(), small_packs());
    assert!(matches!(keyless, Err(Error::NoKeys)));
}

#[test]
fn there_is_one_repository_in_a_store() {
    let world = World::new(22);
    let store: Arc<dyn Store> = world.memory.clone();
    let before = world.names("");
    let (ambient, _) = Ambient::fixed(99);
    let again = Repository::init(store, &password(), &cheap(), small_packs(), ambient);
    assert!(matches!(again, Err(Error::AlreadyThere)));
    assert_eq!(world.names(""), before);
    assert!(world.open().damage().is_empty());
}

#[test]
fn one_good_copy_of_the_config_is_enough_and_the_others_are_told() {
    for good in ["config", "config-2", "config-3"] {
        let world = World::new(23);
        let copies = ["config", "config-2", "config-3"];
        let bad: Vec<&str> = copies.into_iter().filter(|copy| *copy != good).collect();
        world.memory.tamper(&name(bad[0]), b"garbage".to_vec());
        world.memory.remove(&name(bad[1])).unwrap();
        let repo = world.open();
        let mut told: Vec<_> =
            repo.damage().iter().map(|damage| damage.object.to_string()).collect();
        told.sort();
        assert_eq!(told, bad);
        commit(&repo, 0..3).unwrap();
    }
    let world = World::new(24);
    world.memory.tamper(&name("config"), b"garbage".to_vec());
    world.memory.remove(&name("config-2")).unwrap();
    world.memory.remove(&name("config-3")).unwrap();
    let opened = world.try_open(world.memory.clone(), small_packs());
    assert!(matches!(opened, Err(Error::Damaged { object, .. }) if object == "config"));
}

#[test]
fn keys_come_and_go_and_the_last_one_stays() {
    let world = World::new(25);
    let repo = world.open();
    let first = repo.list_keys().unwrap().0[0].name.clone();
    assert!(matches!(repo.remove_key(&first), Err(Error::LastKey)));
    let other = SecretString::from("other");
    let second = repo.add_key(&other, "second", SlotParams::worthless()).unwrap();
    let (keys, damage) = repo.list_keys().unwrap();
    assert!(damage.is_empty());
    let told: Vec<_> = keys.iter().map(|key| (key.label.as_str(), key.current)).collect();
    assert!(told.contains(&("first", true)) && told.contains(&("second", false)));

    let open = |password: &str| {
        let store: Arc<dyn Store> = world.memory.clone();
        let password = SecretString::from(password);
        Repository::open(store, &password, small_packs(), world.ambient.clone())
    };
    commit(&repo, 0..3).unwrap();
    check(&open("other").unwrap().reader().unwrap(), 0..3);
    repo.remove_key(&first).unwrap();
    assert!(matches!(open("correct horse"), Err(Error::WrongPassword)));
    assert!(matches!(repo.remove_key(&first), Err(Error::NoSuchKey { .. })));
    let third = SecretString::from("third");
    open("other").unwrap().change_password(&third, "third", SlotParams::worthless()).unwrap();
    assert!(matches!(open("other"), Err(Error::WrongPassword)));
    assert_ne!(open("third").unwrap().list_keys().unwrap().0[0].name, second);
}

#[test]
fn a_damaged_key_does_not_keep_others_from_opening() {
    let world = World::new(26);
    world.memory.put_new(&name("keys/0000000000000000"), b"garbage".to_vec().into()).unwrap();
    let repo = world.open();
    assert_eq!(repo.damage().len(), 1);
    repo.remove_key("0000000000000000").unwrap();
    assert!(world.open().damage().is_empty());
}

#[test]
fn an_init_that_died_half_way_can_be_done_again() {
    for write in 0..6 {
        let memory = Arc::new(MemoryStore::new());
        let faulty = icecore::store::faulty::Faulty::new(memory.clone());
        faulty.arm(icecore::store::faulty::Fault::Crash { write, done: false });
        let (ambient, _) = Ambient::fixed(27);
        let init = |store: Arc<dyn Store>| {
            Repository::init(store, &password(), &cheap(), small_packs(), ambient.clone())
        };
        let died = init(faulty.clone()).is_err();
        assert_eq!(died, faulty.has_crashed());
        match init(memory.clone()) {
            Ok(_) => {}
            Err(Error::AlreadyThere) => assert!(write > 1),
            Err(error) => panic!("{error}"),
        }
        let store: Arc<dyn Store> = memory;
        let repo = Repository::open(store, &password(), small_packs(), ambient.clone()).unwrap();
        commit(&repo, 0..3).unwrap();
    }
}

#[test]
fn a_key_of_an_init_that_died_is_not_the_other_key() {
    let memory = Arc::new(MemoryStore::new());
    let faulty = icecore::store::faulty::Faulty::new(memory.clone());
    faulty.arm(icecore::store::faulty::Fault::Crash { write: 1, done: false });
    let (ambient, _) = Ambient::fixed(30);
    let init = |store: Arc<dyn Store>| {
        Repository::init(store, &password(), &cheap(), small_packs(), ambient.clone())
    };
    init(faulty).unwrap_err();
    let dead = icecore::store::list_all(&*memory, "keys").unwrap().remove(0).name;
    let repo = init(memory).unwrap();
    let (keys, damage) = repo.list_keys().unwrap();
    assert!(damage.is_empty());
    let [only] = &keys[..] else { panic!("it opens nothing here: {keys:?}") };
    assert!(only.current);
    assert!(matches!(repo.remove_key(&only.name), Err(Error::LastKey)));
    assert!(matches!(repo.remove_key(dead.last()), Err(Error::NoSuchKey { .. })));
}

#[test]
fn a_store_out_of_reach_is_no_missing_repository() {
    let world = World::new(28);
    let faulty = icecore::store::faulty::Faulty::new(world.memory.clone());
    faulty.arm(icecore::store::faulty::Fault::Down);
    let opened = world.try_open(faulty, small_packs());
    let Err(Error::Store(error)) = opened else { panic!("{opened:?}") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[test]
fn a_repository_from_the_future_is_refused_with_its_reason() {
    let world = World::new(29);
    let repo = world.open();
    let put = |config: &icecore::format::config::Config| {
        let sealed = config.seal(repo.keys(), [5; 32]).unwrap();
        for copy in ["config", "config-2", "config-3"] {
            world.memory.tamper(&name(copy), sealed.clone());
        }
    };
    let mut config = repo.config().clone();
    config.features.push("holograms".into());
    put(&config);
    let Err(error) = world.try_open(world.memory.clone(), small_packs()) else { panic!() };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("holograms"), "{source}");
    let mut config = repo.config().clone();
    config.version += 1;
    put(&config);
    let Err(error) = world.try_open(world.memory.clone(), small_packs()) else { panic!() };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("version 2"), "{source}");
}

#[test]
fn a_repository_without_its_config_is_not_taken_for_none() {
    let world = World::new(43);
    commit(&world.open(), 0..3).unwrap();
    for copy in layout::CONFIGS {
        world.memory.remove(&layout::config(copy)).unwrap();
    }
    let opened = world.try_open(world.memory.clone(), small_packs());
    assert!(matches!(opened, Err(Error::ConfigLost)));
    let (ambient, store) = (world.ambient.clone(), world.memory.clone());
    let made = Repository::init(store, &password(), &cheap(), small_packs(), ambient);
    assert!(matches!(made, Err(Error::ConfigLost)));
}

//! What admins set, and what they look things up by.

use crate::host::Host;
use crate::link::Link;
use crate::permission::{Rule, RuleKind, RuleShelf};
use crate::steering::{ListRead, Paused, Steering};
use crate::store::{Change, Facts, Store};
use crate::time::Timestamp;

use super::commit;
use crate::testing::sample;

fn link(number: u64, serial: u64) -> Link {
    Link {
        serial,
        ..sample::link(number, &sample::user("alice"))
    }
}

pub fn links_are_found_by_their_serials<S: Store>(store: &S) {
    let links = [link(1, 300), link(2, 7), link(3, 0), link(4, 8)];
    commit(store, links.clone().map(Change::PutLink).into());
    let serials = |before, limit| -> Vec<u64> {
        let links = store.begin().links_before(before, limit).unwrap();
        links.into_iter().map(|link| link.serial).collect()
    };
    assert_eq!(serials(None, 10), [300, 8, 7]);
    assert_eq!(serials(None, 2), [300, 8]);
    assert_eq!(serials(Some(300), 10), [8, 7]);
    assert_eq!(serials(Some(8), 10), [7]);
    assert_eq!(serials(Some(0), 10), [0; 0]);
    let [first, second, _, _] = links;
    assert_eq!(
        store.begin().link_by_serial(7).unwrap(),
        Some(second.clone())
    );
    assert_eq!(store.begin().link_by_serial(9).unwrap(), None);
    assert_eq!(store.begin().link_by_serial(0).unwrap(), None);
    commit(store, vec![Change::EraseLink(Box::new(first))]);
    assert_eq!(serials(None, 10), [8, 7]);
    assert_eq!(store.begin().link_by_serial(300).unwrap(), None);
}

pub fn hosts_come_in_order<S: Store>(store: &S) {
    let names = ["bob", "alice", "carol"];
    let hosts = names.map(|name| Host::new(sample::user(name)));
    commit(store, hosts.map(Change::PutHost).into());
    let hosts = |after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(sample::user);
        let hosts = store.begin().hosts(after.as_ref(), limit).unwrap();
        let names = hosts.iter().map(|host| host.user.localpart().to_owned());
        names.collect()
    };
    assert_eq!(hosts(None, 10), ["alice", "bob", "carol"]);
    assert_eq!(hosts(None, 1), ["alice"]);
    assert_eq!(hosts(Some("alice"), 10), ["bob", "carol"]);
    assert_eq!(hosts(Some("carol"), 10), [""; 0]);
}

pub fn what_admins_set_is_kept<S: Store>(store: &S) {
    assert_eq!(store.begin().steering().unwrap(), Steering::default());
    let read = ListRead {
        at: Timestamp(2),
        rules: 3,
    };
    let steering = Steering {
        paused: Some(Paused {
            at: Timestamp(1),
            by: sample::user("root"),
        }),
        revoking_below: Some(9),
        clearing: [sample::user("alice")].into(),
        lists: [(sample::room(1), read)].into(),
    };
    commit(store, vec![Change::PutSteering(steering.clone())]);
    assert_eq!(store.begin().steering().unwrap(), steering);
}

pub fn rules_of_deny_lists_are_kept_apart<S: Store>(store: &S) {
    let rule = |about, entity: &str, room| Rule {
        about,
        entity: entity.to_owned(),
        room: sample::room(room),
    };
    let rules = [
        rule(RuleKind::User, "@al:example.org", 1),
        rule(RuleKind::User, "@al:example.org", 2),
        rule(RuleKind::User, "@al:example.org.evil", 1),
        rule(RuleKind::User, "@al*", 1),
        rule(RuleKind::Server, "example.org", 1),
        rule(RuleKind::Server, "*.evil", 1),
    ];
    commit(store, rules.clone().map(Change::PutRule).into());
    let count = |shelf, entity| store.begin().rules(shelf, entity).unwrap().len();
    assert_eq!(count(RuleShelf::User, Some("@al:example.org")), 2);
    assert_eq!(count(RuleShelf::User, Some("@al:example")), 0);
    assert_eq!(count(RuleShelf::User, None), 3);
    assert_eq!(count(RuleShelf::UserPattern, None), 1);
    assert_eq!(count(RuleShelf::Server, Some("example.org")), 1);
    assert_eq!(count(RuleShelf::ServerPattern, None), 1);
    let [first, second, ..] = rules;
    commit(store, vec![Change::DeleteRule(first)]);
    let left = store.begin();
    let left = left.rules(RuleShelf::User, Some("@al:example.org"));
    assert_eq!(left.unwrap(), [second]);
}

//! What every store must do. [`store_conformance!`](crate::store_conformance) makes a test of each.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, reason = "the tests' names say what they test")]

mod alarms;
mod audit;
mod links;
mod memories;
mod portals;
mod queues;
mod rounds;
mod steering;

pub use alarms::*;
pub use audit::*;
pub use links::*;
pub use memories::*;
pub use portals::*;
pub use queues::*;
pub use rounds::*;
pub use steering::*;

use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::PortalId;
use crate::portal::Portal;
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
use crate::time::Timestamp;

use super::sample;

/// Makes a test of everything that a store must do. The argument is a closure that gives a guard
/// and a fresh store; the guard (a temporary folder, for example) is kept as long as the store.
///
/// ```ignore
/// vestibule_bridge::store_conformance!(|| ((), MemoryStore::new()));
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($fresh:expr) => {
        $crate::store_conformance! {
            $fresh =>
            an_empty_store_knows_nothing
            a_transaction_reads_its_own_writes
            a_dropped_transaction_leaves_nothing
            changes_are_applied_in_order
            a_link_is_found_by_id_token_and_host
            a_link_with_a_new_token_is_not_found_by_the_old_one
            hosts_whose_ids_begin_alike_are_kept_apart
            a_portal_is_found_by_id_room_ghost_and_host
            a_portal_is_found_by_its_room_once_it_has_one
            deadlines_come_in_order
            a_deadline_moves
            a_closed_portal_is_never_due
            effects_come_in_order
            an_effect_is_gone_when_deleted
            frames_come_in_order
            frames_are_deleted_through_a_number
            transactions_are_remembered
            the_oldest_transaction_is_forgotten
            a_transaction_twice_remembered_takes_one_place
            digests_are_remembered_for_each_portal
            what_is_set_aside_reads_as_damaged
            what_is_set_aside_is_not_due
            what_was_set_aside_is_erased_whole
            hosts_and_management_rooms_are_kept
            alarms_ring_in_order
            an_alarm_moves_and_is_taken_away
            each_host_has_a_block_list
            counts_are_kept
            an_erased_portal_leaves_nothing
            an_erased_link_leaves_nothing
            the_audit_trail_is_read_from_its_end
            entries_of_the_audit_trail_are_erased_by_their_time
            links_are_found_by_their_serials
            hosts_come_in_order
            what_admins_set_is_kept
            the_bots_device_is_kept
            rules_of_deny_lists_are_kept_apart
        }
    };
    ($fresh:expr => $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let (_guard, store) = ($fresh)();
                $crate::testing::conformance::$name(&store);
            }
        )*
    };
}

fn commit<S: Store>(store: &S, changes: Vec<Change>) {
    let mut transaction = store.begin();
    transaction.apply(&Changes(changes)).unwrap();
    transaction.commit().unwrap();
}

fn portal(number: u64, ends_at: u64) -> Portal {
    sample::portal(number, &sample::user("alice"), Timestamp(ends_at)).unwrap()
}

fn put(portal: &Portal, was_due: Option<u64>, due: Option<u64>) -> Change {
    let portal = Box::new(portal.clone());
    Change::PutPortal {
        portal,
        was_due: was_due.map(Timestamp),
        due: due.map(Timestamp),
    }
}

fn effect(number: u64) -> Effect {
    Effect::BotDeclines {
        room: sample::room(number),
    }
}

fn frame(portal: PortalId, seq: u64) -> Change {
    Change::PutFrame {
        portal,
        seq,
        frame: InboxFrame::Host {
            joined: seq.is_multiple_of(2),
        },
    }
}

fn seqs<S: Store>(store: &S, portal: PortalId, after: u64, limit: usize) -> Vec<u64> {
    store
        .begin()
        .frames(portal, after, limit)
        .unwrap()
        .into_iter()
        .map(|(seq, _)| seq)
        .collect()
}

#[cfg(test)]
mod memory {
    use crate::testing::MemoryStore;

    crate::store_conformance!(|| ((), MemoryStore::new()));
}

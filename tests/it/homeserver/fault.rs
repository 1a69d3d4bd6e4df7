//! How the homeserver fails when it is told to.

use super::call::Call;
use super::state::GHOSTS;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this error and not done.
    Status(u16, &'static str),
    /// It is answered with 429 and the wish to be left alone for so many milliseconds.
    Limited(u64),
    /// The connection ends before anything is done.
    Broken,
    /// It is done, and the connection ends before the answer.
    Unanswered,
    /// It is done, and the answer doesn't come for as long as a test lasts.
    Hanging,
}

/// Which calls go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Named(&'static str),
    /// The one after so many others. Reading and asking doesn't count: that happens beside.
    After(usize),
}

/// All that is planned.
#[derive(Default)]
pub struct Faults {
    /// Nothing is answered at all.
    pub down: bool,
    /// The registration doesn't claim the ghosts any more.
    pub foreign: bool,
    planned: Vec<(Which, Fault, usize)>,
    /// How many faults came true.
    pub hits: usize,
}

impl Faults {
    /// The next `times` calls of this name fail.
    pub fn named(&mut self, name: &'static str, fault: Fault, times: usize) {
        self.planned.push((Which::Named(name), fault, times));
    }

    /// The call after `others` others fails.
    pub fn after(&mut self, others: usize, fault: Fault) {
        self.planned.push((Which::After(others), fault, 1));
    }

    /// Whether a call changes something.
    fn counts(call: &Call) -> bool {
        !matches!(
            call.name,
            "whoami"
                | "ping"
                | "sync"
                | "keys_query"
                | "keys_claim"
                | "get_name"
                | "joined_rooms"
                | "messages"
                | "account_data"
                | "set_account_data"
                | "make_wake_room"
                | "wake"
        )
    }

    /// What is planned for this call; nothing is used up by asking.
    pub fn planned(&self, call: &Call) -> Option<Fault> {
        if self.down {
            return Some(Fault::Broken);
        }
        if self.foreign && call.user().starts_with(GHOSTS) {
            return Some(Fault::Status(403, "M_FORBIDDEN"));
        }
        self.place(call).map(|place| self.planned[place].1)
    }

    fn place(&self, call: &Call) -> Option<usize> {
        self.planned
            .iter()
            .position(|(which, _, times)| match which {
                _ if *times == 0 => false,
                Which::Named(name) => *name == call.name,
                Which::After(others) => *others == 0 && Self::counts(call),
            })
    }

    /// The call came.
    pub fn note(&mut self, call: &Call) {
        if self.down {
            return;
        }
        if let Some(place) = self.place(call) {
            self.planned[place].2 -= 1;
            self.hits += 1;
        } else if Self::counts(call) {
            for (which, _, _) in &mut self.planned {
                if let Which::After(others) = which {
                    *others = others.saturating_sub(1);
                }
            }
        }
    }
}

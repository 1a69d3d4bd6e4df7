//! What waits, and what may begin.

use std::collections::{HashMap, HashSet, VecDeque};

use vestibule_bridge::effect::{Lane, Queued, Urgency, Words};
use vestibule_bridge::id::EffectId;

/// In how many lanes is cleaned up at once. Most of them only wait for their turn at the homeserver,
/// or to try again; all others lie here as a few bytes each.
const CLEANING: usize = 32;

/// An effect that begins now.
pub struct Begun {
    pub id: EffectId,
    pub lane: Lane,
    pub urgency: Urgency,
    /// How often it was tried in vain, if it gave its place up in between.
    pub tries: u32,
    pub words: Option<Words>,
}

/// What waits, and what is being performed.
#[derive(Default)]
pub struct Lanes {
    waiting: HashMap<Lane, VecDeque<(EffectId, Urgency)>>,
    /// Lanes in which something is being performed, or that stand in one of the two queues.
    busy: HashSet<Lane>,
    words: HashMap<EffectId, Words>,
    leaving: VecDeque<Lane>,
    tidying: VecDeque<Lane>,
    cleaning: usize,
    /// How often effects were tried that gave their place up.
    tries: HashMap<EffectId, u32>,
    /// How much there is to clean up in each lane.
    unclean: HashMap<Lane, usize>,
    effects: usize,
}

impl Lanes {
    /// Takes in new effects; gives their lanes.
    pub fn take_in(&mut self, effects: Vec<Queued>, unstored: Vec<(EffectId, Words)>) -> Vec<Lane> {
        self.words.extend(unstored);
        let lanes = effects.iter().map(|effect| effect.lane.clone()).collect();
        for Queued { id, lane, urgency } in effects {
            if urgency.cleans() {
                *self.unclean.entry(lane.clone()).or_default() += 1;
                self.effects += 1;
            }
            self.waiting
                .entry(lane)
                .or_default()
                .push_back((id, urgency));
        }
        lanes
    }

    /// The effect that may begin now in this lane. One that only cleans up gets into a queue first.
    pub fn next(&mut self, lane: &Lane) -> Option<Begun> {
        if self.busy.contains(lane) {
            return None;
        }
        let Some((_, urgency)) = self.waiting.get(lane).and_then(VecDeque::front) else {
            self.waiting.remove(lane);
            return None;
        };
        let queue = match urgency {
            Urgency::Wanted => return self.begin(lane.clone()),
            Urgency::Leaving => &mut self.leaving,
            Urgency::Tidying => &mut self.tidying,
        };
        queue.push_back(lane.clone());
        self.busy.insert(lane.clone());
        None
    }

    /// The next effect of the queues, if there is a place for it. Rooms come first, because hosts
    /// see them.
    pub fn next_cleaning(&mut self) -> Option<Begun> {
        if self.cleaning >= CLEANING {
            return None;
        }
        let lane = self
            .leaving
            .pop_front()
            .or_else(|| self.tidying.pop_front())?;
        let begun = self.begin(lane)?;
        self.cleaning += 1;
        Some(begun)
    }

    fn begin(&mut self, lane: Lane) -> Option<Begun> {
        let (id, urgency) = self.waiting.get_mut(&lane)?.pop_front()?;
        self.busy.insert(lane.clone());
        Some(Begun {
            id,
            urgency,
            tries: self.tries.remove(&id).unwrap_or_default(),
            words: self.words.remove(&id),
            lane,
        })
    }

    /// What began in this lane is done.
    pub fn done(&mut self, lane: &Lane, urgency: Urgency) {
        self.busy.remove(lane);
        if !urgency.cleans() {
            return;
        }
        self.cleaning -= 1;
        self.effects = self.effects.saturating_sub(1);
        if let Some(left) = self.unclean.get_mut(lane) {
            *left -= 1;
            if *left == 0 {
                self.unclean.remove(lane);
            }
        }
    }

    /// It could not be done, and gives its place up: so some that fail for ever don't keep the
    /// others from theirs.
    pub fn put_back(&mut self, lane: &Lane, id: EffectId, urgency: Urgency, tries: u32) {
        self.busy.remove(lane);
        self.cleaning -= 1;
        self.tries.insert(id, tries);
        let waiting = self.waiting.entry(lane.clone()).or_default();
        waiting.push_front((id, urgency));
    }

    /// How many chats there are to clean up after, and by how many effects.
    pub fn unclean(&self) -> (usize, usize) {
        (self.unclean.len(), self.effects)
    }
}

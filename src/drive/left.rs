//! What an earlier run left to be done.

use vestibule_bridge::effect::Queued;
use vestibule_bridge::id::EffectId;
use vestibule_bridge::store::{Facts as _, Store, StoreError};

/// How many effects are read from the store at a time.
const PAGE: usize = 512;

/// All effects that are stored.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AllEffects {
    /// Those that wait, in order.
    pub waiting: Vec<Queued>,
    /// Those that don't read.
    pub damaged: Vec<EffectId>,
}

/// Reads all effects.
pub fn all_effects<S: Store>(store: &S) -> Result<AllEffects, StoreError> {
    let rows = store.begin();
    let mut all = AllEffects::default();
    let mut last = None;
    loop {
        let page = rows.effects(last, PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        for (id, effect) in page {
            last = Some(id);
            match effect {
                Some(effect) => all.waiting.push(Queued::new(id, &effect)),
                None => all.damaged.push(id),
            }
        }
    }
}

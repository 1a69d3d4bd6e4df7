//! The tries of one effect, and the pauses between them.

use std::time::Duration;

use vestibule_bridge::effect::Effect;
use vestibule_bridge::id::EffectId;
use vestibule_bridge::input::{Input, Outcome};
use vestibule_bridge::store::Store;

use super::lanes::Begun;
use super::slots::Call;
use super::{Later, Perform, Shared};

/// The first pause between two tries; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A wait that the homeserver asks for is told from this length on; a shorter one is over before
/// anybody has read of it.
const WORTH_TELLING: Duration = Duration::from_secs(10);

/// What the tries of an effect came to.
pub enum Tried {
    Outcome(Outcome),
    /// So often; it may be tried again later.
    InVain(u32),
    /// The program stops.
    Stopped,
}

impl<S: Store, P: Perform> Shared<S, P> {
    /// Tries until there is an outcome, or, when it is only to clean up, once.
    pub(super) async fn outcome(&self, begun: &Begun, effect: &Effect) -> Tried {
        let id = begun.id;
        let mut tries = begun.tries;
        let mut repeated = tries > 0 || self.resumed.contains(&id);
        let mut told = false;
        let server = effect
            .asks()
            .map(|host| host.server_name())
            .filter(|server| *server != self.own_server);
        let kind = match (server, begun.urgency.cleans()) {
            (_, true) => Call::Cleaning(&self.progress),
            (Some(server), false) => Call::Asking(server),
            (None, false) => Call::Usual,
        };
        loop {
            let call = async {
                if *self.stopping.borrow() {
                    return None;
                }
                let words = begun.words.as_ref();
                Some(self.perform.perform(id, effect, repeated, words).await)
            };
            let Some(tried) = self.slots.during(kind, call).await else {
                return Tried::Stopped;
            };
            match tried {
                Ok(outcome) => {
                    self.answered();
                    if let Outcome::Refused { errcode } = &outcome {
                        tracing::warn!(effect = effect.name(), id = %id, errcode, "the homeserver refused");
                    }
                    return Tried::Outcome(outcome);
                }
                Err(later) => {
                    repeated = true;
                    if tries == 0 {
                        tracing::info!(effect = effect.name(), id = %id, why = later.why, "will be tried until it succeeds");
                    } else {
                        tracing::debug!(effect = effect.name(), id = %id, tries, why = later.why, "tried again in vain");
                    }
                    if !told {
                        told = self.tell(id, &later).await;
                    }
                    if !self.wait(&later, &mut tries).await {
                        return Tried::Stopped;
                    }
                    if begun.urgency.cleans() {
                        return Tried::InVain(tries);
                    }
                }
            }
        }
    }

    /// Lets the domain know of a long wait; whether there was one.
    async fn tell(&self, id: EffectId, later: &Later) -> bool {
        let Some(retry_after) = later.after.filter(|after| *after >= WORTH_TELLING) else {
            return false;
        };
        if !later.limited {
            return false;
        }
        let told = Input::Delayed {
            effect: id,
            retry_after,
        };
        // Whoever can't be told now may be told at the next try.
        self.driver.submit(told).await.is_ok()
    }

    /// Waits before the next try: as long as was asked for, or else twice as long each time, but no
    /// longer than until the homeserver answers somebody again. False when the program stops.
    async fn wait(&self, later: &Later, tries: &mut u32) -> bool {
        let doubled = doubled(tries);
        if let Some(asked) = later.after {
            return self.pause(asked).await;
        }
        let up = self.up.notified();
        if !later.limited {
            self.progress.set_down(true);
        }
        tokio::select! {
            // That it answers somebody doesn't mean that it can answer this.
            going_on = async { up.await; self.pause(doubled / 16).await } => going_on,
            going_on = self.pause(doubled) => going_on,
        }
    }

    fn answered(&self) {
        if self.progress.set_down(false) {
            self.up.notify_waiters();
        }
    }
}

/// The next pause: twice as long each time.
pub fn doubled(tries: &mut u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << (*tries).min(8));
    *tries = tries.saturating_add(1);
    pause.min(LONGEST_PAUSE)
}

//! What the bot says in encrypted rooms. The one encryption goes into the effect's row, in the commit
//! that holds the ratchet's step; from then on that row is what is sent, after a crash too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::timeout;
use vestibule_bridge::effect::{Effect, Words};
use vestibule_bridge::host::ManagementRoom;
use vestibule_bridge::id::{EffectId, RoomId};
use vestibule_bridge::input::Input;
use vestibule_bridge::reset_words;
use vestibule_bridge::store::{Facts as _, Store as _};
use vestibule_crypto::{Asked, Blocked, CryptoError, Prepare};

use super::attachment::encrypted;
use super::{Bot, BotError, Work, sealed};
use crate::homeserver::{CallFailed, PICTURE_WORDS, RoomView, notice};
use crate::qr;

/// How often the machine is asked what to do before one message. Each of a room's devices takes two
/// rounds at most.
const ROUNDS: usize = 200;
/// How long a picture may take; what the bot says next in the same room waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the bot waits for a device that can read it, before it gives a message up.
const UNREADABLE: Duration = Duration::from_secs(10 * 60);

/// How the bot is to speak in a room.
pub enum Voice {
    /// In the clear.
    Plain,
    /// Encrypted.
    Encrypted,
}

/// Why something was not said.
#[derive(Debug, thiserror::Error)]
pub enum Unsaid {
    /// It may be said later.
    #[error(transparent)]
    Later(#[from] BotError),
    /// Nobody in the room has a device that may read it.
    #[error("nobody in the room has a device that may read it")]
    NobodyReads,
    /// It was asked too often what to do before a message.
    #[error("the room does not come to rest")]
    Restless,
}

impl From<CallFailed> for Unsaid {
    fn from(failed: CallFailed) -> Self {
        Self::Later(failed.into())
    }
}

/// What comes after a question to the machine.
enum Next {
    Sealed(Vec<Value>, Option<Effect>),
    Ask(Vec<String>, Asked),
    Do(Prepare),
}

/// What is to be encrypted, and for whom.
struct Letter<'a> {
    room: &'a RoomId,
    members: &'a [String],
    contents: Vec<Map<String, Value>>,
    /// In whose row the ciphertext is to stand.
    effect: Option<EffectId>,
}

impl Bot {
    /// How the bot is to speak in this room. Where it is not known, the homeserver is asked first;
    /// what it says can make a room encrypted, but not unencrypted.
    pub async fn voice(&self, room: &RoomId) -> Result<Voice, Unsaid> {
        let known = self.management_room(room)?;
        match known {
            Some(known) if known.encrypted => return Ok(Voice::Encrypted),
            Some(known) if known.looked => return Ok(Voice::Plain),
            _ => {}
        }
        let RoomView { encrypted, .. } = self.homeserver.view_room(room).await?;
        let seen = Input::RoomSeen {
            room: room.clone(),
            encrypted,
        };
        let stored = self.driver.submit(seen).await;
        let _never_refused = stored.map_err(BotError::from)?;
        Ok(if encrypted {
            Voice::Encrypted
        } else {
            Voice::Plain
        })
    }

    fn management_room(&self, room: &RoomId) -> Result<Option<ManagementRoom>, BotError> {
        Ok(self.store.begin().management_room(room)?)
    }

    /// The effect as it is stored by now: what was encrypted once is never encrypted again.
    pub fn stored(&self, id: EffectId) -> Result<Option<Effect>, BotError> {
        Ok(self.store.begin().effect(id)?)
    }

    /// Encrypts these words for everybody in the room, in the place of the effect.
    pub async fn seal(&self, id: EffectId, room: &RoomId, words: &Words) -> Result<Effect, Unsaid> {
        let sealed = self.encrypt(room, notice(words), Some(id)).await;
        if let Err(Unsaid::Later(BotError::Call(failed))) = &sealed {
            self.note_failure(failed);
        }
        match sealed {
            Ok((_, Some(effect))) => Ok(effect),
            Ok((_, None)) => Err(Unsaid::Restless),
            Err(Unsaid::NobodyReads) if self.clock.now().since(id.made_at()) < UNREADABLE => {
                Err(Unsaid::Restless)
            }
            Err(error) => Err(error),
        }
    }

    /// Has everything that was encrypted so far counted at the homeserver, before it leaves.
    pub async fn before_sending(&self) -> Result<(), Unsaid> {
        self.ensure().await?;
        self.tell().await?;
        Ok(())
    }

    async fn encrypt(
        &self,
        room: &RoomId,
        content: Value,
        effect: Option<EffectId>,
    ) -> Result<(Vec<Value>, Option<Effect>), Unsaid> {
        self.ensure().await?;
        let view = self.homeserver.view_room(room).await?;
        let members: Vec<String> = view.members.into_iter().collect();
        if members.is_empty() {
            return Err(Unsaid::NobodyReads);
        }
        let direct = self.management_room(room)?.is_some_and(|room| room.direct);
        let mut letter = Letter {
            room,
            members: &members,
            contents: vec![object(content)],
            effect,
        };
        for _ in 0..ROUNDS {
            let (device, next) = self.ask(&letter).await?;
            match next {
                Next::Sealed(contents, effect) => return Ok((contents, effect)),
                Next::Ask(users, asked) => {
                    let answer = self.homeserver.query_as_bot(&device, &users).await?;
                    for user in self.receive_keys(asked, &answer, false).await? {
                        letter.tell_reset(&user, direct);
                    }
                }
                Next::Do(Prepare::Blocked {
                    reason: Blocked::IdentityChanged,
                    users,
                }) => {
                    for user in users {
                        self.accept(&user).await?;
                        letter.tell_reset(&user, direct);
                    }
                }
                Next::Do(Prepare::Blocked {
                    reason: Blocked::NoDevices,
                    ..
                }) => return Err(Unsaid::NobodyReads),
                Next::Do(wanted) => self.carry_out(&device, wanted).await?,
            }
        }
        Err(Unsaid::Restless)
    }

    /// Asks the machine what is to be done, and when it is nothing, has it encrypt. Gives the device
    /// that the machine is, too.
    async fn ask(&self, letter: &Letter<'_>) -> Result<(String, Next), BotError> {
        let members: Vec<&str> = letter.members.iter().map(String::as_str).collect();
        let room = letter.room.as_str();
        self.work(|machine, now| {
            let device = machine.device_id().to_owned();
            let mut records = vestibule_crypto::Changes::default();
            for user in &members {
                records.merge(machine.meet(user)?.changes);
            }
            let step = machine.prepare(room, &members, now)?;
            records.merge(step.changes);
            if step.output != Prepare::Ready {
                let next = match step.output {
                    Prepare::KeysQuery { users } => {
                        let asked = machine.asked(&users);
                        Next::Ask(users, asked)
                    }
                    wanted => Next::Do(wanted),
                };
                return Ok(Work {
                    records,
                    ..Work::of((device, next))
                });
            }
            let mut contents = Vec::new();
            for content in &letter.contents {
                let step =
                    machine.encrypt_content(room, &members, "m.room.message", content, now)?;
                records.merge(step.changes);
                contents.push(step.output);
            }
            let sealed = letter
                .effect
                .map(|id| sealed(id, letter.room, contents.clone()));
            let (also, effect) = match sealed {
                Some((change, effect)) => (vec![change], Some(effect)),
                None => (Vec::new(), None),
            };
            Ok(Work {
                records,
                also,
                ..Work::of((device, Next::Sealed(contents, effect)))
            })
        })
        .await
    }

    async fn accept(&self, user: &str) -> Result<(), BotError> {
        self.work(|machine, _| {
            let step = machine.accept_identity(user)?;
            let mut inputs = vec![self.identity_reset(user, false)];
            inputs.extend(self.inputs(step.output, vestibule_bridge::input::Came::Late));
            Ok(Work {
                records: step.changes,
                inputs,
                ..Work::of(())
            })
        })
        .await
    }

    /// Sends the link in these words once more, as a picture that only the room can see.
    pub async fn show_link(&self, room: &RoomId, transaction: &str, words: &Words) {
        let Some(link) = self.homeserver.link_in(&words.plain) else {
            return;
        };
        let shown = async {
            let picture = qr::draw(link).map_err(BotError::from)?;
            let (size, side) = (picture.png.len(), picture.side);
            let file = encrypted(picture.png).map_err(BotError::from)?;
            let url = self.homeserver.upload_encrypted(file.ciphertext).await?;
            let mut described = file.description;
            described.insert("url".to_owned(), url.into());
            let content = json!({
                "msgtype": "m.image",
                "body": PICTURE_WORDS,
                "filename": "link.png",
                "file": described,
                "info": { "mimetype": "image/png", "w": side, "h": side, "size": size },
            });
            let (contents, _) = self.encrypt(room, content, None).await?;
            self.before_sending().await?;
            for (place, content) in contents.iter().enumerate() {
                let transaction = format!("{transaction}-qr{place}");
                let sent = self
                    .homeserver
                    .send_encrypted_as_bot(room, &transaction, content);
                sent.await?;
            }
            Ok(())
        };
        let shown: Result<Result<(), Unsaid>, _> = timeout(PATIENCE, shown).await;
        match shown {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a link was given without its QR code; `guests.qr_code: false` leaves it out always"
            ),
            Err(_) => {
                tracing::warn!("a link was given without its QR code: the homeserver took too long")
            }
        }
    }

    /// Reads what waits and puts the device up, whenever something may have been lost.
    pub async fn recover(self: &Arc<Self>) -> Result<(), BotError> {
        self.set_up().await?;
        self.catch_up().await
    }
}

impl Letter<'_> {
    /// Before all else, once.
    fn tell_reset(&mut self, user: &str, direct: bool) {
        let words = reset_words(&vestibule_bridge::id::UserId::new(user), direct);
        self.contents.insert(0, object(notice(&words)));
    }
}

impl Unsaid {
    /// Whether the same would happen again.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        match self {
            Self::NobodyReads => true,
            Self::Later(BotError::Call(failed)) => failed.is_refused() && !failed.lacks_device(),
            Self::Later(BotError::Crypto(error)) => *error == CryptoError::TooLong,
            Self::Later(_) | Self::Restless => false,
        }
    }
}

fn object(content: Value) -> Map<String, Value> {
    match content {
        Value::Object(content) => content,
        _ => Map::new(),
    }
}

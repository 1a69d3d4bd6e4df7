//! A link as a picture, after its words. The words are what counts: nothing that goes wrong here costs
//! anybody a link.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use vestibule_bridge::effect::Words;
use vestibule_bridge::id::RoomId;

use super::{CallFailed, Homeserver};
use crate::qr::{self, Picture};

/// How long it may take; what the bot says next in the same room waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read where pictures aren't shown. The link stays out: it stands above.
pub const WORDS: &str = "The same link as a QR code: let your guest point their camera at it.";

/// Why a link was not shown as a picture.
#[derive(Debug, thiserror::Error)]
enum NotShown {
    #[error("it can't be drawn")]
    Drawing(#[from] qr::QrError),
    #[error(transparent)]
    Call(#[from] CallFailed),
    #[error("the homeserver took too long")]
    Late,
}

impl Homeserver {
    /// Sends the link in these words once more, as a picture.
    pub(super) async fn show_link(&self, room: &RoomId, transaction: &str, words: &Words) {
        let Some(link) = self.link_in(&words.plain) else {
            return;
        };
        let shown = async {
            let picture = qr::draw(link)?;
            self.send_picture(room, transaction, picture).await?;
            Ok(())
        };
        let shown = timeout(PATIENCE, shown).await;
        if let Err(error) = shown.unwrap_or(Err(NotShown::Late)) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a link was given without its QR code; `guests.qr_code: false` leaves it out always"
            );
        }
    }

    /// The link in these words, if it is to be drawn.
    pub fn link_in<'a>(&self, words: &'a str) -> Option<&'a str> {
        let begin = self.drawn_links.as_ref()?;
        words
            .split_whitespace()
            .find(|word| word.starts_with(begin.as_str()))
    }

    async fn send_picture(
        &self,
        room: &RoomId,
        transaction: &str,
        picture: Picture,
    ) -> Result<(), CallFailed> {
        let Picture { png, side } = picture;
        let size = png.len();
        let bot = self.as_bot();
        let uploaded = bot.upload_media("image/png", "link.png", png).await;
        // A media store that is off or full says nothing about the homeserver.
        let result = if uploaded.is_ok() { "ok" } else { "failed" };
        self.metrics.call("upload_media", result);
        let url = uploaded.map_err(|source| CallFailed {
            call: "upload_media",
            source,
        })?;
        let content = json!({
            "msgtype": "m.image",
            "body": WORDS,
            "filename": "link.png",
            "url": url,
            "info": { "mimetype": "image/png", "w": side, "h": side, "size": size },
        });
        let transaction = format!("{transaction}-qr");
        let sent = self
            .as_bot()
            .send_event(room.as_str(), "m.room.message", &transaction, &content)
            .await;
        self.counted("send_picture", sent).map(|_| ())
    }
}

//! Closes rooms that belong to no chat. `createRoom` has no transaction id, so a room can be made
//! twice when its answer is lost for long, and a store that was restored from a backup knows
//! nothing of the rooms that were made since. The bot is in each of them, alone or with a ghost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use vestibule_bridge::id::{PortalId, RoomId};
use vestibule_bridge::portal::PortalState;
use vestibule_bridge::store::{Facts, Read, Store, StoreError};

use crate::app::App;
use crate::homeserver::CallFailed;

/// How often is looked after the start.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// How long is waited when the homeserver or the store could not be asked.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a chat that is over may take to clear up after itself.
const CLEARING_UP: Duration = Duration::from_secs(60 * 60);

/// Why the rooms could not be looked through.
#[derive(Debug, thiserror::Error)]
enum ReapError {
    #[error("the homeserver could not be asked for the bot's rooms")]
    Homeserver(#[from] CallFailed),
    #[error("a room's portal could not be read")]
    Store(#[from] StoreError),
}

/// Looks through the bot's rooms now and every hour.
pub async fn run(app: Arc<App>) {
    // Rooms that were found to be no portal's; they never become one.
    let mut others = HashSet::new();
    loop {
        let pause = match reap(&app, &mut others).await {
            Ok(0) => PERIOD,
            Ok(rooms) => {
                tracing::warn!(rooms, "rooms were left that belong to no chat");
                PERIOD
            }
            Err(error) => {
                // What is wrong with the homeserver or the store is told elsewhere.
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "rooms that belong to no chat could not be looked for"
                );
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Looks once; how many rooms were left.
async fn reap(app: &App, others: &mut HashSet<RoomId>) -> Result<usize, ReapError> {
    let rooms = app.homeserver.bot_rooms().await?;
    others.retain(|room| rooms.contains(room));
    let mut left = 0;
    for room in rooms {
        if others.contains(&room) || app.store.begin().management_room(&room)?.is_some() {
            continue;
        }
        let Some(portal) = app.homeserver.portal_of(&room).await? else {
            others.insert(room);
            continue;
        };
        if is_orphan(app, &room, portal)? {
            tracing::info!(%portal, "a room that belongs to no chat is left");
            app.homeserver
                .abandon(&room, &app.policy.server_name)
                .await?;
            left += 1;
        }
    }
    Ok(left)
}

/// Whether nobody will need the room that was made for this portal.
fn is_orphan(app: &App, room: &RoomId, portal: PortalId) -> Read<bool> {
    let Some(portal) = app.store.begin().portal(portal)? else {
        // A portal is stored before its room is made.
        return Ok(true);
    };
    Ok(match &portal.state {
        PortalState::Opening { room: None, .. } => false,
        PortalState::Opening {
            room: Some(own), ..
        }
        | PortalState::Open { room: own, .. } => own != room,
        // The effects of its end are on their way, with words for the host.
        PortalState::Closed { at, .. } => app.clock.now().since(*at) > CLEARING_UP,
    })
}

//! What rooms had: the timeline that `/sync` and `/messages` show.

use serde_json::{Value, json};

use super::room::{Event, receipt};
use super::state::{Answer, Refused, State};

/// How many events `/sync` brings of a room, and `/messages` at most; small, so that tests page.
const PAGE: usize = 20;

impl State {
    /// The part `rooms` of a `/sync` answer: the latest events of the rooms that the filter names.
    pub fn timelines(&mut self, user: &str, filter: &Value) -> Value {
        let mut rooms = json!({ "join": {}, "leave": {} });
        for room in filter["room"]["rooms"]
            .as_array()
            .cloned()
            .unwrap_or_default()
        {
            let room = room.as_str().unwrap_or_default();
            let Ok(kept) = self.room(room) else { continue };
            let membership = kept.membership(user).to_owned();
            let timeline = &filter["room"]["timeline"];
            let events: Vec<&Event> = kept
                .timeline
                .iter()
                .filter(|event| by_others(event, timeline))
                .collect();
            let earlier = events.len().saturating_sub(PAGE);
            let receipts: Vec<Value> = kept
                .receipts
                .iter()
                .map(|(user, (event, at))| json!({ "type": "m.receipt", "content": receipt(event, user, *at) }))
                .collect();
            let ephemeral = &filter["room"]["ephemeral"]["types"];
            assert_eq!(
                *ephemeral,
                json!(["m.receipt"]),
                "nothing else of the moment is read"
            );
            let timeline = json!({ "ephemeral": { "events": receipts }, "timeline": {
                "events": events[earlier..].iter().map(|event| event.to_json(room)).collect::<Vec<_>>(),
                "limited": earlier > 0,
                "prev_batch": format!("p{earlier}"),
            }});
            if membership == "join" || filter["room"]["include_leave"] == true {
                rooms[if membership == "join" {
                    "join"
                } else {
                    "leave"
                }][room] = timeline;
            }
        }
        rooms
    }

    /// `GET /rooms/{room}/messages`, backwards.
    pub fn past(&mut self, user: &str, room: &str, from: &str, filter: &Value) -> Answer {
        let kept = self.room(room)?;
        if kept.membership(user) != "join" {
            return Err(Refused(403, "M_FORBIDDEN"));
        }
        let end: usize = from
            .strip_prefix('p')
            .and_then(|place| place.parse().ok())
            .ok_or(Refused(400, "M_INVALID_PARAM"))?;
        let events: Vec<&Event> = kept
            .timeline
            .iter()
            .filter(|event| by_others(event, filter))
            .collect();
        let start = end.saturating_sub(PAGE);
        let chunk: Vec<Value> = events[start..end]
            .iter()
            .rev()
            .map(|event| event.to_json(room))
            .collect();
        let mut answer = json!({ "start": from, "chunk": chunk });
        if start > 0 {
            answer["end"] = json!(format!("p{start}"));
        }
        Ok(answer)
    }
}

fn by_others(event: &Event, filter: &Value) -> bool {
    let not = filter["not_senders"].as_array();
    !not.is_some_and(|not| not.contains(&json!(event.sender)))
}

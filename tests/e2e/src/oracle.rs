//! Compares what was said with what each side shows.

use std::collections::HashMap;
use std::fmt;

use vestibule_lab::HostEvent;

use crate::Bubble;

/// Who should have seen something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The host, in their client.
    Host,
    /// The guest, in the page.
    Guest,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A message never came.
    Lost(Side, String),
    /// It came more than once.
    Twice(Side, String),
    /// It came before one that was said earlier.
    OutOfOrder(Side, String),
    /// Something came that can't be read.
    Undecryptable(Side, String),
    /// Something came that nobody said.
    Unexpected(Side, String),
    /// A message was kept by the page, and is gone from it.
    Forgotten(String),
    /// The page's own mark at a message is another one than *delivered*.
    NotDelivered(String, Option<String>),
    /// The browser complained, other than about connections.
    Complaint(String),
    /// What passed the proxies broke a rule.
    OnTheWire(String),
}

impl Finding {
    /// Whether no waiting makes it good.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Twice(..) | Self::OutOfOrder(..))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(side, text) => write!(f, "lost on the way to the {side}: {text}"),
            Self::Twice(side, text) => write!(f, "twice at the {side}: {text}"),
            Self::OutOfOrder(side, text) => write!(f, "out of order at the {side}: {text}"),
            Self::Undecryptable(side, what) => write!(f, "undecryptable at the {side}: {what}"),
            Self::Unexpected(side, text) => write!(f, "unexpected at the {side}: {text}"),
            Self::Forgotten(text) => write!(f, "gone from the page: {text}"),
            Self::NotDelivered(text, state) => {
                let state = state.as_deref().unwrap_or("without a state");
                write!(f, "marked {state} in the page: {text}")
            }
            Self::Complaint(text) => write!(f, "the browser complained: {text}"),
            Self::OnTheWire(text) => write!(f, "on the wire: {text}"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Guest => "guest",
        })
    }
}

/// Everything that was said and shown in one chat.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// What the homeserver accepted from the host, in order.
    pub from_host: Vec<String>,
    /// What the guest pressed *Send* for, in order, and whether the page has shown it since: what
    /// was killed in the middle may have been kept or not.
    pub from_guest: Vec<(String, bool)>,
    /// What the host's client has of the guest: a text, or nothing where it can't be read.
    pub at_host: Vec<Option<String>>,
    /// What the page shows.
    pub in_page: Vec<Bubble>,
}

impl Record {
    /// Takes in what the host's client reported of this room and this ghost.
    pub fn hear(&mut self, events: Vec<HostEvent>, room: &str, ghost: &str) {
        for event in events {
            match event {
                HostEvent::Message(said) if said.room_id == room && said.sender == ghost => {
                    self.at_host.push(said.decrypted.then_some(said.body));
                }
                HostEvent::Undecryptable {
                    room_id, sender, ..
                } if room_id == room && sender == ghost => self.at_host.push(None),
                _ => {}
            }
        }
    }

    /// What is wrong; nothing when both sides have all of it.
    #[must_use]
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let of = |from: &'static str| self.in_page.iter().filter(move |b| b.from == from);
        let shown: Vec<Option<String>> = of("host")
            .map(|bubble| {
                let is_text = bubble.says.as_deref().is_none_or(|says| says == "text");
                is_text.then(|| bubble.body.clone())
            })
            .collect();
        compare(Side::Guest, &self.from_host, &shown, &mut findings);

        let own: Vec<String> = of("me").map(|bubble| bubble.body.clone()).collect();
        for (text, is_certain) in &self.from_guest {
            if *is_certain && !own.contains(text) {
                findings.push(Finding::Forgotten(text.clone()));
            }
        }
        for bubble in of("me") {
            if bubble.state.as_deref() != Some("delivered") {
                let state = bubble.state.clone();
                findings.push(Finding::NotDelivered(bubble.body.clone(), state));
            }
        }
        compare(Side::Host, &own, &self.at_host, &mut findings);
        findings
    }
}

fn compare(side: Side, said: &[String], shown: &[Option<String>], findings: &mut Vec<Finding>) {
    let places: HashMap<&str, usize> = said
        .iter()
        .enumerate()
        .map(|(place, text)| (text.as_str(), place))
        .collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    let mut furthest = 0;
    for text in shown {
        let Some(text) = text else {
            findings.push(Finding::Undecryptable(side, "a message".to_owned()));
            continue;
        };
        let Some(place) = places.get(text.as_str()) else {
            findings.push(Finding::Unexpected(side, text.clone()));
            continue;
        };
        let times = times.entry(text).or_default();
        *times += 1;
        if *times > 1 {
            findings.push(Finding::Twice(side, text.clone()));
        } else if *place < furthest {
            findings.push(Finding::OutOfOrder(side, text.clone()));
        }
        furthest = furthest.max(*place);
    }
    for text in said
        .iter()
        .filter(|text| !times.contains_key(text.as_str()))
    {
        findings.push(Finding::Lost(side, text.clone()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn bubble(from: &str, state: Option<&str>, says: Option<&str>, body: &str) -> Bubble {
        Bubble {
            from: from.into(),
            state: state.map(Into::into),
            says: says.map(Into::into),
            body: body.into(),
        }
    }

    fn record() -> Record {
        let theirs = |body| bubble("host", None, Some("text"), body);
        let mine = |body| bubble("me", Some("delivered"), None, body);
        Record {
            from_host: ["a", "b", "c"].map(Into::into).into(),
            from_guest: [("x", true), ("killed", false), ("y", true)]
                .map(|(text, certain)| (text.to_owned(), certain))
                .into(),
            at_host: ["x", "y"].map(|text| Some(text.to_owned())).into(),
            in_page: vec![mine("x"), theirs("a"), theirs("b"), mine("y"), theirs("c")],
        }
    }

    #[test]
    fn what_is_right_is_not_blamed() {
        assert_eq!(record().judge(), []);
    }

    #[test]
    fn each_wrong_is_named() {
        use Finding::{
            Forgotten, Lost, NotDelivered, OutOfOrder, Twice, Undecryptable, Unexpected,
        };
        let text = |text: &str| text.to_owned();
        let with = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            record.judge()
        };
        assert_eq!(
            with(|r| drop(r.at_host.pop())),
            [Lost(Side::Host, text("y"))]
        );
        assert_eq!(
            with(|r| r.at_host.push(Some("x".into()))),
            [Twice(Side::Host, text("x"))]
        );
        assert_eq!(
            with(|r| r.at_host.reverse()),
            [OutOfOrder(Side::Host, text("x"))]
        );
        assert_eq!(
            with(|r| r.at_host.push(None)),
            [Undecryptable(Side::Host, text("a message"))]
        );
        assert_eq!(
            with(|r| r.in_page[1].says = Some("undecryptable".into())),
            [
                Undecryptable(Side::Guest, text("a message")),
                Lost(Side::Guest, text("a"))
            ]
        );
        assert_eq!(
            with(|r| r.in_page[3].state = Some("sent".into())),
            [NotDelivered(text("y"), Some(text("sent")))]
        );
        assert_eq!(
            with(|r| drop(r.in_page.remove(0))),
            [Forgotten(text("x")), Unexpected(Side::Host, text("x"))]
        );
    }
}

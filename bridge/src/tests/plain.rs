//! A plain reference of what hosts see: numbers, and how each stands. The model compares the domain
//! with it after every doing.

use std::collections::BTreeMap;

use super::world::*;
use crate::bridge::Answer;
use crate::input::{Input, Join, Membership, RoomEventKind};
use crate::link::LinkState;
use crate::passcode::PASSCODE_TRIES;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::store::Facts;
use crate::time::Timestamp;

const LABELS: [&str; 3] = ["Bob", "Carol", "Dave"];

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Unused,
    Chat,
    Over,
}

#[derive(Clone, Debug, PartialEq)]
struct Line {
    stands: Stands,
    label: Option<String>,
    /// The key of the browser, while the chat's rows are there.
    key: Option<String>,
    /// How many wrong passcodes may still be tried, if it has one.
    tries: Option<u32>,
    made_at: Timestamp,
}

/// Everything of Alice, by number.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    lines: BTreeMap<u32, Line>,
    /// Key to number and label.
    blocked: BTreeMap<String, (u32, Option<String>)>,
    last_number: u32,
    now: Timestamp,
}

/// A command.
#[derive(Clone, Debug)]
pub enum Asked {
    Invite(Option<&'static str>, bool),
    List,
    Revoke(u32),
    End(u32),
    Block(u32),
    Unblock(u32),
    Renew(u32),
}

impl Asked {
    pub fn choose(which: u8, how: u8) -> Self {
        let number = u32::from(how % 12);
        match which % 10 {
            0..3 => Self::Invite(LABELS.get(usize::from(how % 4)).copied(), how >= 150),
            3 => Self::List,
            4 => Self::Revoke(number),
            5 => Self::End(number),
            6 => Self::Block(number),
            7 | 8 => Self::Unblock(number),
            _ => Self::Renew(number),
        }
    }

    pub fn written(&self) -> String {
        match self {
            Self::Invite(label, passcode) => {
                let option = if *passcode { " --passcode" } else { "" };
                format!("invite {}{option}", label.unwrap_or_default())
            }
            Self::List => "list".to_owned(),
            Self::Revoke(number) => format!("revoke {number}"),
            Self::End(number) => format!("end {number}"),
            Self::Block(number) => format!("block {number}"),
            Self::Unblock(number) => format!("unblock {number}"),
            Self::Renew(number) => format!("renew {number}"),
        }
    }
}

impl Plain {
    pub fn of(world: &World) -> Self {
        let store = &world.store;
        let portals = store.portals_of_host(&alice()).unwrap();
        let line = |link: crate::link::Link| {
            let portal = portals.iter().find(|portal| portal.link == link.id);
            let stands = match (&link.state, portal) {
                (LinkState::Open, _) if world.now < link.expires_at => Stands::Unused,
                (LinkState::Used { .. }, Some(portal)) if !portal.is_closed() => Stands::Chat,
                _ => Stands::Over,
            };
            let key = portal.map(|portal| portal.visit.ed25519.clone());
            let wrong = link.wrong_passcodes;
            let line = Line {
                stands,
                label: link.label,
                key,
                tries: link.passcode.map(|_| PASSCODE_TRIES - wrong),
                made_at: link.created_at,
            };
            (link.number, line)
        };
        let links = store.links_of_host(&alice()).unwrap();
        let count = links.len();
        let lines: BTreeMap<u32, Line> = links.into_iter().map(line).collect();
        assert_eq!(lines.len(), count, "no two have the same number");
        let blocks = store.blocks_of_host(&alice()).unwrap();
        let host = store.host(&alice()).unwrap();
        Self {
            lines,
            blocked: blocks
                .into_iter()
                .map(|block| (block.key, (block.number, block.label)))
                .collect(),
            last_number: host.map_or(0, |host| host.last_number),
            now: world.now,
        }
    }

    fn count(&self, stands: Stands) -> u64 {
        let lines = self.lines.values();
        u64::try_from(lines.filter(|line| line.stands == stands).count()).unwrap()
    }

    pub fn chats(&self) -> u64 {
        self.count(Stands::Chat)
    }

    pub fn unused(&self) -> u64 {
        self.count(Stands::Unused)
    }

    fn is_blocked(&self, label: &str) -> bool {
        let mut labels = self.blocked.values().map(|(_, label)| label.as_deref());
        labels.any(|blocked| blocked == Some(label))
    }

    /// Whether one more link may be made, in the place of so many.
    fn may_invite(&self, policy: &Policy, replaced: u64) -> bool {
        let most = u64::try_from(policy.open_links).unwrap();
        let is_of_today =
            |line: &&Line| line.made_at <= self.now && self.now.since(line.made_at) < DAY;
        let today = self.lines.values().filter(is_of_today).count();
        self.unused() - replaced < most && today < policy.limits.links_a_day
    }

    fn invite(&mut self, label: Option<String>, passcode: bool) {
        self.last_number += 1;
        let line = Line {
            stands: Stands::Unused,
            label,
            key: None,
            tries: passcode.then_some(PASSCODE_TRIES),
            made_at: self.now,
        };
        self.lines.insert(self.last_number, line);
    }

    fn set(&mut self, number: u32, from: Stands, to: Stands) {
        if let Some(line) = self.lines.get_mut(&number)
            && line.stands == from
        {
            line.stands = to;
        }
    }

    /// What a command makes of it.
    pub fn after(mut self, asked: &Asked, policy: &Policy) -> Self {
        match *asked {
            Asked::List => {}
            Asked::Invite(label, passcode) => {
                let blocked = label.is_some_and(|label| self.is_blocked(label));
                if !blocked && self.may_invite(policy, 0) {
                    self.invite(label.map(str::to_owned), passcode);
                }
            }
            Asked::Revoke(number) => self.set(number, Stands::Unused, Stands::Over),
            Asked::End(number) => self.set(number, Stands::Chat, Stands::Over),
            Asked::Block(number) => self.block(number),
            Asked::Unblock(number) => self.blocked.retain(|_, (blocked, _)| *blocked != number),
            Asked::Renew(number) => self.renew(number, policy),
        }
        self
    }

    fn block(&mut self, number: u32) {
        let Some(line) = self.lines.get(&number) else {
            return;
        };
        let (Some(key), label) = (line.key.clone(), line.label.clone()) else {
            return;
        };
        if self.blocked.contains_key(&key) {
            return;
        }
        self.blocked.insert(key.clone(), (number, label));
        for line in self.lines.values_mut() {
            if line.stands == Stands::Chat && line.key.as_ref() == Some(&key) {
                line.stands = Stands::Over;
            }
        }
    }

    fn renew(&mut self, number: u32, policy: &Policy) {
        let Some(line) = self.lines.get(&number).cloned() else {
            return;
        };
        let by_number = self.blocked.values().any(|(blocked, _)| *blocked == number);
        let by_label = line
            .label
            .as_ref()
            .is_some_and(|label| self.is_blocked(label));
        let replaced = u64::from(line.stands == Stands::Unused);
        if by_number || by_label || !self.may_invite(policy, replaced) {
            return;
        }
        self.set(number, Stands::Unused, Stands::Over);
        self.invite(line.label, line.tries.is_some());
    }

    /// What anything but a command may make of it.
    pub fn assert_followed_by(
        &self,
        after: &Self,
        input: &Input,
        answer: &Result<Answer, Refusal>,
        world: &World,
    ) {
        assert_eq!(self.last_number, after.last_number);
        let wrong = match input {
            Input::Join(join) => self.assert_joined(after, join, answer, world),
            _ => None,
        };
        for (number, line) in &self.lines {
            let Some(later) = after.lines.get(number) else {
                assert_eq!(line.stands, Stands::Over, "only what is over is forgotten");
                continue;
            };
            let is_step = match (line.stands, later.stands) {
                (Stands::Unused, Stands::Chat) => matches!(input, Input::Join(_)),
                (Stands::Unused, Stands::Over) if wrong == Some(*number) => line.tries == Some(1),
                (Stands::Unused, Stands::Over) => matches!(input, Input::Tick { .. }),
                (Stands::Chat, Stands::Over) => !matches!(input, Input::Join(_)),
                (before, later) => before == later,
            };
            assert!(is_step, "{number}: {line:?} to {later:?} by {input:?}");
            assert_eq!(line.label, later.label);
            let lost = u32::from(wrong == Some(*number));
            assert_eq!(line.tries.map(|tries| tries - lost), later.tries);
        }
        assert!(
            after
                .lines
                .keys()
                .all(|number| self.lines.contains_key(number))
        );
        let puts_out = |kind: &RoomEventKind| {
            use Membership::{Ban, Leave};
            let RoomEventKind::Member {
                target,
                membership: Ban | Leave,
            } = kind
            else {
                return false;
            };
            *target != alice()
        };
        if !matches!(input, Input::Room(event) if event.sender == alice() && puts_out(&event.kind))
        {
            assert_eq!(self.blocked, after.blocked, "{input:?}");
        }
    }

    /// What a join may make of it; gives the number of the link on which a wrong passcode was tried.
    fn assert_joined(
        &self,
        after: &Self,
        join: &Join,
        answer: &Result<Answer, Refusal>,
        world: &World,
    ) -> Option<u32> {
        let link = world.store.link_by_token(&join.token_hash).unwrap();
        let number = link.as_ref().map_or(0, |link| link.number);
        let line = self.lines.get(&number);
        let line = line.filter(|line| line.stands == Stands::Unused);
        let is_blocked = self.blocked.contains_key(&join.ed25519);
        let most = u64::try_from(world.policy.open_chats).unwrap();
        let asks = line.is_some_and(|line| line.tries.is_some());
        let right = !asks || link.is_some_and(|link| link.passcode == join.passcode);
        let may = line.is_some() && !is_blocked && right && self.chats() < most;
        assert_eq!(after.chats() > self.chats(), may, "{answer:?}");
        if is_blocked && line.is_some() {
            assert_eq!(*answer, Err(Refusal::LinkUnknown));
        }
        let line = line.filter(|_| !is_blocked && !right)?;
        if join.passcode.is_none() {
            assert_eq!(*answer, Err(Refusal::PasscodeNeeded));
            return None;
        }
        let refusal = match line.tries? - 1 {
            0 => Refusal::PasscodeSpent,
            left => Refusal::PasscodeWrong { left },
        };
        assert_eq!(*answer, Ok(Answer::Refused(refusal)));
        Some(number)
    }
}

//! A chat outlives whatever is switched off in its middle.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use vestibule_e2e::{Meeting, SdkHost, lab};
use vestibule_lab::{Api, Host, HostEvent, Lab};

#[test]
fn a_chat_goes_on_after_a_reload_a_crash_and_a_closed_browser() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    let mut talk = Talk::begin(Meeting::arrange(host, "Maya").unwrap());

    talk.both_say(3, "at first");
    talk.settle();

    talk.meeting.guest.reload().unwrap();
    talk.both_say(2, "after the reload");
    talk.settle();

    lab.bridge().unwrap().kill();
    talk.both_say(2, "while the bridge is down");
    lab.bridge().unwrap().start_again().unwrap();
    talk.settle();

    // In the middle of a burst: some are committed, some on their way, some not sent.
    talk.both_say(4, "in the burst");
    lab.bridge().unwrap().kill();
    lab.bridge().unwrap().start_again().unwrap();
    talk.meeting.guest.reload().unwrap();
    talk.settle();

    talk.meeting
        .guest
        .come_back(&format!("{}/", lab.public_url()))
        .unwrap();
    talk.both_say(1, "after the browser was closed");
    talk.settle();
}

#[test]
fn a_host_who_begins_while_the_bridge_is_down_is_read() {
    let mut lab = lab().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut talk = Talk::begin(Meeting::arrange(host, "Maya").unwrap());

    // The room key goes out with the first message, and Synapse drops it on the push path.
    lab.bridge().unwrap().kill();
    talk.host_says("first words");
    lab.bridge().unwrap().start_again().unwrap();
    talk.settle();
    talk.both_say(1, "afterwards");
    talk.settle();
}

/// Synapse hands an application service its to-device events only from behind the last ones it
/// looked at for anybody: of two that come at once to two users, it forgets one. So on a busy
/// homeserver room keys are lost although nothing failed.
#[test]
fn a_host_who_begins_on_a_busy_homeserver_is_read() {
    let mut lab = lab().unwrap();
    let noisy = lab.account("noisy", "Noisy").unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut talk = Talk::begin(Meeting::arrange(host, "Maya").unwrap());
    let base = lab.homeserver();
    let (api, said) = Api::login(&base, &noisy.localpart, &noisy.password).unwrap();
    let device = said.get("device_id").unwrap().as_str().unwrap().to_owned();
    let body = json!({"messages": {(noisy.user_id): {(device): {"noise": true}}}});

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (api, body, done) = (&api, &body, &done);
            scope.spawn(move || {
                for number in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let path = "/_matrix/client/v3/sendToDevice/m.noise";
                    let path = format!("{path}/{thread}-{number}");
                    assert!(api.call("PUT", &path, Some(body)).unwrap().is_success());
                }
            });
        }
        talk.host_says("first words");
        done.store(true, Ordering::Relaxed);
    });
    talk.settle();
}

#[test]
fn a_chat_goes_on_after_the_homeserver_restarts() {
    let mut lab = lab().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut talk = Talk::begin(Meeting::arrange(host, "Maya").unwrap());
    talk.both_say(1, "before");
    talk.settle();
    lab.synapse().unwrap().kill();
    talk.guest_says("while the homeserver is down");
    lab.synapse().unwrap().restart().unwrap();
    talk.both_say(1, "afterwards");
    talk.settle();
}

#[test]
fn a_page_below_a_path_prefix_works() {
    let options = vestibule_lab::Options {
        public_path: "/guests/chat".into(),
        ..Default::default()
    };
    let mut lab = vestibule_e2e::lab_with(&options).unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let meeting = Meeting::arrange(host, "Maya").unwrap();
    assert!(meeting.link.contains("/guests/chat/#"), "{}", meeting.link);
    let mut talk = Talk::begin(meeting);
    talk.both_say(1, "here");
    talk.settle();
    talk.meeting.guest.reload().unwrap();
    talk.both_say(1, "there");
    talk.settle();
}

/// A chat with everything that was said so far.
struct Talk<H> {
    meeting: Meeting<H>,
    from_host: Vec<String>,
    from_guest: Vec<String>,
    heard: Vec<String>,
}

impl<H: Host> Talk<H> {
    fn begin(meeting: Meeting<H>) -> Self {
        Self {
            meeting,
            from_host: Vec::new(),
            from_guest: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn host_says(&mut self, text: &str) {
        self.meeting.host_says(text).unwrap();
        self.from_host.push(text.to_owned());
    }

    fn guest_says(&mut self, text: &str) {
        self.meeting.guest.say(text).unwrap();
        self.from_guest.push(text.to_owned());
    }

    fn both_say(&mut self, count: usize, what: &str) {
        for number in 1..=count {
            self.guest_says(&format!("guest {number} {what}"));
            self.host_says(&format!("host {number} {what}"));
        }
    }

    /// Both sides have all of it, in order, once.
    fn settle(&mut self) {
        let missing = self.from_guest.len() - self.heard.len();
        let heard = self.meeting.host_hears(missing).unwrap();
        self.heard
            .extend(heard.into_iter().map(|message| message.body));
        assert_eq!(self.heard, self.from_guest);
        let guest = &self.meeting.guest;
        guest.wait_for_texts("host", &self.from_host).unwrap();
        self.meeting.guest.wait_delivered().unwrap();
        assert_eq!(self.meeting.guest.texts("me").unwrap(), self.from_guest);
        // What comes twice comes late.
        std::thread::sleep(Duration::from_millis(500));
        let own = self.meeting.host.user_id().to_owned();
        let more = self
            .meeting
            .host
            .events()
            .drain()
            .into_iter()
            .find(|event| match event {
                HostEvent::Message(message) => message.sender != own && message.sender != Lab::BOT,
                HostEvent::Undecryptable { .. } => true,
                _ => false,
            });
        assert_eq!(more, None);
        assert_eq!(
            self.meeting.guest.complaints().unwrap(),
            Vec::<String>::new()
        );
    }
}

//! What an admin does from the admin room, over a real Synapse: each command once, and what hosts and
//! guests make of it; whom a policy list keeps out; what the doctor says of a homeserver that is set up
//! wrongly.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::process::Command;

use serde_json::{Value, json};
use vestibule_e2e::{Guest, Meeting, bridge_binary, lab, link, told};
use vestibule_lab::{Host, Lab, NioHost, PATIENCE, wait_for};

/// An admin in a room with the bot.
struct Admin {
    host: NioHost,
    room: String,
}

impl Admin {
    fn of(lab: &mut Lab) -> Self {
        let mut host = lab.nio_host("admin", "The Admin").unwrap();
        let room = host.create_dm(Lab::BOT).unwrap();
        let mut admin = Self { host, room };
        admin.told("Write `invite` for a link");
        admin
    }

    /// Waits until the bot says something with this in it.
    fn told(&mut self, part: &str) -> String {
        told(&mut self.host, &self.room, part)
    }

    /// Writes to the bot, and waits until it says something with this in it.
    fn command(&mut self, text: &str, part: &str) -> String {
        self.host.send(&self.room, text).unwrap();
        self.told(part)
    }
}

#[test]
fn an_admin_commands_and_hosts_and_guests_feel_it() {
    let mut lab = lab().unwrap();
    let mut admin = Admin::of(&mut lab);
    admin.command("status", "Write `admin-room` in a room");
    admin.command("admin-room", "This is an admin room now");
    admin.command("help", "`block-host @host:server`");
    admin.command("stauts", "Did you mean `status`?");

    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let management = meeting.management_room.clone();
    let host_writes = |meeting: &mut Meeting<NioHost>, text: &str, part: &str| {
        meeting.host.send(&management, text).unwrap();
        told(&mut meeting.host, &management, part)
    };
    let spare = link(&host_writes(&mut meeting, "invite Ben", "/#"));

    admin.command("status", "Open: 1 chat and 1 unused link");
    admin.command("chats", "1. @alice:vestibule.test: open");
    admin.command("chats elsewhere.net", "There are no chats that fit.");
    admin.command("links", "2. @alice:vestibule.test: made");
    let shown = admin.command("show 1", "Number 1 is of @alice:vestibule.test");
    assert!(shown.contains(meeting.room()), "{shown}");
    assert!(!shown.contains("Maya"), "{shown}");

    // Nobody gets in while it is paused, and afterwards they do.
    admin.command("pause", "Paused:");
    host_writes(&mut meeting, "invite Carl", "An administrator has paused");
    let visitor = Guest::open(&spare).unwrap();
    visitor.wait_screen("paused").unwrap();
    admin.command("resume", "let in again");

    admin.command(
        "quota @alice:vestibule.test links 1",
        "may have 1 unused link",
    );
    host_writes(&mut meeting, "invite Carl", "You have 1 unused link");
    admin.command("quota", "@alice:vestibule.test may have 1");
    admin.command("quota @alice:vestibule.test default", "(default)");

    admin.command("revoke 2", "I took link 2 of @alice:vestibule.test back");
    told(&mut meeting.host, &management, "took your link for Ben");
    admin.command("end 1", "I ended chat 1");
    meeting.guest.wait_screen("ended").unwrap();
    let page = meeting.guest.text().unwrap();
    assert!(
        page.contains("An administrator of this service ended it"),
        "{page}"
    );
    told(
        &mut meeting.host,
        &management,
        "an administrator of this service ended it",
    );

    host_writes(&mut meeting, "invite Dora", "/#");
    admin.command("pause --revoke", "I take 1 unused link back");
    told(&mut meeting.host, &management, "took your link for Dora");
    admin.command("resume", "let in again");
    admin.command(
        "block-host @alice:vestibule.test",
        "I blocked @alice:vestibule.test",
    );
    meeting.host.send(&management, "invite Emma").unwrap();
    admin.command("unblock-host @alice:vestibule.test", "may have links again");
    // The one before got no answer.
    let words = host_writes(&mut meeting, "invite Finn", "/#");
    assert!(words.contains("Finn"), "{words}");

    let audit = admin.command("audit 50", "What was done last");
    for part in [
        "admin @admin:vestibule.test claimed an admin room",
        "@alice:vestibule.test made link 1",
        "a guest used link 1",
        "chat 1 of @alice:vestibule.test opened",
        "chat 1 of @alice:vestibule.test ended by admin @admin:vestibule.test",
        "admin @admin:vestibule.test paused",
        "blocked host @alice:vestibule.test",
    ] {
        assert!(audit.contains(part), "{part} in {audit}");
    }
    let doctor = admin.command("doctor", "as far as I can see");
    assert!(doctor.contains("ok: Room keys are pushed."), "{doctor}");
    assert!(
        doctor.contains("ok: Counts of keys are pushed."),
        "{doctor}"
    );
    assert!(doctor.contains("ok: The page is at"), "{doctor}");
    // The same as lines of the log.
    let log = lab.bridge().unwrap().log().unwrap();
    assert!(
        log.contains("act=\"chat_ended\"") || log.contains("act=chat_ended"),
        "{log}"
    );
    assert!(!log.contains("Maya"), "no guest in the log");

    // Whoever is not an admin is not obeyed in the room.
    let mut other = lab.nio_host("bob", "Bob").unwrap();
    let invite = json!({ "user_id": "@bob:vestibule.test" });
    let path = format!("/_matrix/client/v3/rooms/{}/invite", admin.room);
    let (status, answer) = admin.host.request("POST", &path, Some(&invite)).unwrap();
    assert_eq!(status, 200, "{answer}");
    other.join(&admin.room).unwrap();
    other.send(&admin.room, "!guest pause").unwrap();
    admin.command("!guest resume", "It is not paused.");
    admin.command("!guest admin-room off", "ordinary room again");
}

/// The homeserver starts anew with this changed in its configuration.
fn reconfigure(lab: &mut Lab, change: impl FnOnce(&mut Value)) {
    let path = lab.dir().join("synapse/homeserver.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    lab.synapse().unwrap().restart().unwrap();
}

/// What `vestibule doctor` says, and whether it found nothing wrong.
fn doctor(lab: &Lab) -> (bool, String) {
    let output = Command::new(bridge_binary().unwrap())
        .arg("doctor")
        .arg("--config")
        .arg(lab.dir().join("vestibule.yaml"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), said)
}

#[test]
fn the_doctor_finds_what_is_wrong_with_a_homeserver() {
    let mut lab = lab().unwrap();
    let mut admin = Admin::of(&mut lab);
    admin.command("admin-room", "This is an admin room now");
    let (well, said) = doctor(&lab);
    assert!(well && said.contains("Another process listens"), "{said}");

    reconfigure(&mut lab, |config| {
        config["experimental_features"]["msc3202_transaction_extensions"] = json!(false);
    });
    let said = admin.command("doctor", "WRONG");
    assert!(said.contains("msc3202_transaction_extensions"), "{said}");
    assert!(said.contains("ok: Room keys are pushed."), "{said}");

    reconfigure(&mut lab, |config| {
        config["experimental_features"] = json!({});
    });
    let said = admin.command("doctor", "WRONG");
    assert!(
        said.contains("msc2409_to_device_messages_enabled"),
        "{said}"
    );

    // From outside, while no bridge runs.
    lab.bridge().unwrap().wait_quiet().unwrap();
    lab.bridge().unwrap().stop();
    reconfigure(&mut lab, |config| {
        config["experimental_features"] = json!({
            "msc2409_to_device_messages_enabled": true,
            "msc3202_transaction_extensions": true,
        });
    });
    let (well, said) = doctor(&lab);
    assert!(well, "{said}");
    assert!(said.contains("ok: Room keys are pushed."), "{said}");
    reconfigure(&mut lab, |config| {
        config["app_service_config_files"] = json!([]);
    });
    let (well, said) = doctor(&lab);
    assert!(
        !well && said.contains("doesn't know the as_token"),
        "{said}"
    );
    lab.synapse().unwrap().stop();
    let (well, said) = doctor(&lab);
    assert!(!well && said.contains("doesn't answer at"), "{said}");
}

/// Waits until a look at a link is answered like this.
fn until_looked(lab: &Lab, link: &str, status: u16) {
    let (_, token) = link.split_once('#').unwrap();
    let guests = lab.guests();
    wait_for(&format!("{status} for the link"), PATIENCE, || {
        let answer = guests.call("POST", "/api/v1/link", Some(&json!({ "token": token })))?;
        Ok(answer.status == status)
    })
    .unwrap();
}

#[test]
fn a_policy_list_decides_who_may_have_links() {
    let mut lab = lab().unwrap();
    let mut admin = Admin::of(&mut lab);
    admin.command("admin-room", "This is an admin room now");
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let (room, link) = host.ask_for_link(Lab::BOT, "Maya").unwrap();
    until_looked(&lab, &link, 200);

    // A list of the kind that moderation bots keep, known by its alias.
    let body = json!({ "room_alias_name": "bans", "preset": "public_chat" });
    let path = "/_matrix/client/v3/createRoom";
    let (status, made) = admin.host.request("POST", path, Some(&body)).unwrap();
    assert_eq!(status, 200, "{made}");
    let list = made["room_id"].as_str().unwrap();
    let rule = format!("/_matrix/client/v3/rooms/{list}/state/m.policy.rule.user/one");
    let set = |admin: &mut Admin, content: Value| {
        let (status, said) = admin.host.request("PUT", &rule, Some(&content)).unwrap();
        assert_eq!(status, 200, "{said}");
    };
    let ban = json!({ "entity": "@al?ce:*", "recommendation": "m.ban", "reason": "spam" });
    set(&mut admin, ban.clone());
    lab.bridge().unwrap().stop();
    let path = lab.dir().join("vestibule.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["permissions"]["deny_lists"] = json!(["#bans:vestibule.test"]);
    std::fs::write(&path, config.to_string()).unwrap();
    lab.bridge().unwrap().start_again().unwrap();
    until_looked(&lab, &link, 410);
    host.send(&room, "invite Ben").unwrap();
    admin.command("status", &format!("Deny list {list}: 1 rule,"));

    // What changes in it counts at once; what was asked for meanwhile was not answered.
    set(&mut admin, json!({}));
    until_looked(&lab, &link, 200);
    host.send(&room, "invite Carl").unwrap();
    let words = told(&mut host, &room, "/#");
    assert!(words.contains("for Carl"), "{words}");
    set(&mut admin, ban);
    until_looked(&lab, &link, 410);
}

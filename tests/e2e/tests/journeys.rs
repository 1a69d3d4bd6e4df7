//! A guest's way through the page in each browser, on a phone and on a desk. `docs/page.md` says what
//! a driver can't do, and why.

#![allow(clippy::unwrap_used, reason = "tests")]

use anyhow::{Context as _, Result, ensure};
use vestibule_e2e::{Browser, Engine, Guest, Meeting, Played, Proxy, Shape, lab_with};
use vestibule_lab::{Host, HostEvent, Lab, Options, PATIENCE, free_port};

/// Does something in every browser and says at the end in which of them it failed.
fn everywhere(mut act: impl FnMut(Engine, Shape) -> Result<()>) {
    let mut failed = Vec::new();
    for engine in Engine::wanted() {
        for shape in Shape::ALL {
            let begun = std::time::Instant::now();
            let done = act(engine, shape);
            println!(
                "{engine:?}, {shape:?}: {:.1} s",
                begun.elapsed().as_secs_f64()
            );
            if let Err(error) = done {
                failed.push(format!("{engine:?}, {shape:?}: {error:#}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn a_guest_joins_talks_comes_back_and_leaves() {
    let port = free_port().unwrap();
    let network = Proxy::start(&format!("127.0.0.1:{port}"), None).unwrap();
    let mut lab = lab_with(&Options {
        guests_port: Some(port),
        // WebKit takes this name for secure, and not the number behind it.
        guests_address: Some(network.address().replace("127.0.0.1", "localhost")),
        ..Options::default()
    })
    .unwrap();
    let mut number = 0;
    everywhere(|engine, shape| {
        network.heal();
        number += 1;
        let host = lab.nio_host(&format!("alice{number}"), "Alice")?;
        let browser = Browser::start_as(engine, shape)?;
        let url = format!("{}/", lab.public_url());
        let mut meeting = Meeting::arrange_in(host, Lab::BOT, "Maya", browser)?;
        talk(&mut meeting).context("talking")?;
        second_tab(&mut meeting, &url).context("the second tab")?;
        without_network(&mut meeting, engine, &network).context("without a network")?;
        meeting.guest.check_chat(shape).context("the layout")?;
        // Of what came before: a link of a page that is gone is a complaint of its own.
        let complaints = meeting.guest.complaints()?;
        ensure!(complaints.is_empty(), "{complaints:#?}");
        leave(&mut meeting, &url).context("ending")
    });
}

/// Both write, and after a reload all of it is there and they go on.
fn talk<H: Host>(meeting: &mut Meeting<H>) -> Result<()> {
    meeting.guest.say("first")?;
    ensure!(
        meeting
            .host_hears(1)?
            .iter()
            .all(|heard| heard.body == "first")
    );
    meeting.host_says("welcome")?;
    meeting.guest.wait_for_texts("host", &["welcome"])?;
    meeting.guest.wait_delivered()?;
    meeting.guest.reload()?;
    meeting.guest.wait_open()?;
    meeting.guest.wait_for_texts("host", &["welcome"])?;
    meeting.guest.wait_for_texts("me", &["first"])?;
    meeting.guest.say("after a reload")?;
    meeting.host_hears(1).map(drop)
}

/// It says where the chat is open, takes it over, and the first says the same then.
fn second_tab<H: Host>(meeting: &mut Meeting<H>, url: &str) -> Result<()> {
    let first = meeting.guest.open_another(url)?;
    meeting.guest.wait_screen("elsewhere")?;
    meeting.guest.press_button("Use here")?;
    meeting.guest.wait_open()?;
    let second = meeting.guest.window()?;
    meeting.guest.look_at(&first)?;
    meeting.guest.wait_screen("elsewhere")?;
    meeting.guest.close_for(&second)?;
    meeting.guest.say("from the second tab")?;
    meeting.host_hears(1).map(drop)
}

/// What is written meanwhile waits, and goes once. First the network behind the browser is cut, which
/// the browser doesn't know; then, where a driver can, the browser's own.
fn without_network<H: Host>(
    meeting: &mut Meeting<H>,
    engine: Engine,
    network: &Proxy,
) -> Result<()> {
    network.cut();
    meeting.guest.wait_banner("reconnecting")?;
    meeting.guest.say("while it was cut")?;
    meeting.guest.wait_shown("while it was cut")?;
    network.heal();
    let heard = meeting.host_hears(1)?;
    ensure!(
        heard.iter().all(|heard| heard.body == "while it was cut"),
        "{heard:?}"
    );
    meeting.guest.wait_open()?;
    if !engine.goes_offline() {
        return Ok(());
    }
    meeting.guest.set_offline(true)?;
    meeting.guest.wait_banner("offline")?;
    meeting.guest.say("in the tunnel")?;
    meeting.guest.wait_shown("in the tunnel")?;
    meeting.guest.set_offline(false)?;
    let heard = meeting.host_hears(1)?;
    ensure!(
        heard.iter().all(|heard| heard.body == "in the tunnel"),
        "{heard:?}"
    );
    meeting.guest.wait_open()
}

/// Nothing is left in the browser, the host sees it, and the link stays used.
fn leave<H: Host>(meeting: &mut Meeting<H>, url: &str) -> Result<()> {
    meeting.guest.end_and_erase()?;
    meeting.guest.wait_screen("erased")?;
    let rows = meeting.guest.stored_rows()?;
    ensure!(rows == 0, "{rows} rows are left");
    let room = meeting.room().to_owned();
    let ghost = meeting.invite.inviter.clone();
    let is_gone = |event: &HostEvent| match event {
        HostEvent::Member {
            room_id,
            member,
            membership,
        } => (*room_id == room && *member == ghost && membership == "leave").then_some(()),
        _ => None,
    };
    let events = meeting.host.events();
    events.wait("the guest to be gone", PATIENCE, is_gone)?;
    meeting.guest.go(url)?;
    meeting.guest.wait_screen("no-link")?;
    let link = meeting.link.clone();
    meeting.guest.go(&link)?;
    meeting.guest.wait_screen("link-used")
}

/// What a link's last digit says is wrong with it.
const LINKS: [(u8, &str); 7] = [
    (1, "link-unknown"),
    (2, "link-used"),
    (3, "link-expired"),
    (4, "link-revoked"),
    (5, "paused"),
    (6, "too-many-tries"),
    (7, "unreachable"),
];

/// What a word to the played host brings about.
const WORDS: [(&str, &str); 12] = [
    ("end host", "ended"),
    ("end guest", "ended"),
    ("end expired", "ended"),
    ("end failed", "ended"),
    ("end third_party", "ended"),
    ("end admin", "ended"),
    ("error unknown_chat", "unknown"),
    ("error damaged", "damaged"),
    ("ahead", "set-back"),
    ("behind", "out-of-step"),
    ("older", "page-older"),
    ("newer", "page-newer"),
];

#[test]
fn every_ending_has_its_screen() {
    let played = Played::start().unwrap();
    let mut number = 0;
    let mut link = move |last| {
        number += 1;
        played.link(number, last)
    };
    let mut failed = Vec::new();
    let links = LINKS.map(|(last, screen)| (last, None, screen));
    let words = WORDS.map(|(word, screen)| (0, Some(word), screen));
    let refused = [(8, Some(""), "join-failed")];
    for engine in Engine::wanted() {
        let mut open = None;
        for (last, word, screen) in [links.as_slice(), &refused, &words].concat() {
            let mut show = || {
                let guest = match open.take() {
                    // After some chats that were left WebKit's storage hangs, see `docs/page.md`.
                    Some(guest) if engine != Engine::WebKit || word.is_none() => guest,
                    _ => Guest::open_in(Browser::start_as(engine, Shape::Phone)?, "about:blank")?,
                };
                see(open.insert(guest), &link(last), word, screen)
            };
            if let Err(error) = show() {
                failed.push(format!("{engine:?}, {screen} by {word:?}: {error:#}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Follows a link, says a word in the chat if there is one, and looks at what comes.
fn see(guest: &Guest, link: &str, word: Option<&str>, screen: &str) -> Result<()> {
    guest.go(link)?;
    if let Some(word) = word {
        guest.start_chat("Maya")?;
        if !word.is_empty() {
            guest.wait_open()?;
            guest.say(word)?;
        }
    }
    guest.wait_screen(screen)?;
    for shape in Shape::ALL {
        guest.check_words(shape)?;
    }
    guest.take_shape(Shape::Phone)
}

//! A link is used by one guest, and only by one who presses the button.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::{Value, json};
use vestibule_e2e::{Browser, Guest, join_body, lab, lab_with};
use vestibule_lab::{Answer, Api, Host as _, Lab, Options, get};

#[test]
fn looking_does_not_use_a_link_up() {
    let mut lab = lab().unwrap();
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let (_, link) = host.ask_for_link(Lab::BOT, "Maya").unwrap();
    let token = link.split_once('#').unwrap().1.to_owned();

    // A messenger's preview.
    let page = get(&link).unwrap();
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(!page.text.contains(&token));
    assert_eq!(look(&lab, &token).status, 200);

    // A scanner that runs scripts, and types, but presses nothing.
    let scanner = Guest::open(&link).unwrap();
    scanner.named("button", "Start chat").unwrap();
    assert!(scanner.text().unwrap().contains("Alice"));
    scanner.reload().unwrap();
    scanner.named("textbox", "Your name").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(look(&lab, &token).status, 200);
    assert_eq!(scanner.complaints().unwrap(), Vec::<String>::new());

    // And the guest comes in after all that.
    let guest = Guest::open(&link).unwrap();
    guest.start_chat("Maya").unwrap();
    assert_eq!(host.next_invite().unwrap().display_name, "Maya (Guest)");
    guest.wait_screen("chat").unwrap();

    // Whoever comes later is told so.
    scanner.start_chat("Late").unwrap();
    scanner.wait_screen("link-used").unwrap();
    scanner.go(&link).unwrap();
    scanner.wait_screen("link-used").unwrap();
    let unknown = format!("{}/#{}", lab.public_url(), "0123456789abcdefghjkmnpqrs");
    scanner.go(&unknown).unwrap();
    scanner.wait_screen("link-unknown").unwrap();
    scanner
        .go(&format!("{}/#{}", lab.public_url(), "not-a-token"))
        .unwrap();
    scanner.wait_screen("link-malformed").unwrap();

    // The chat itself is where it was.
    guest.reload().unwrap();
    guest.wait_screen("chat").unwrap();
}

#[test]
fn of_a_thousand_joins_at_once_one_wins() {
    const GUESTS: usize = 1000;
    let mut lab = lab_with(&Options {
        // They come from all over the world, in truth.
        environment: vec![("VESTIBULE__GUESTS__ADDRESS_TRIES", "100000")],
        ..Options::default()
    })
    .unwrap();
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let (_, link) = host.ask_for_link(Lab::BOT, "Maya").unwrap();
    let token = link.split_once('#').unwrap().1.to_owned();
    let ghost = look(&lab, &token)
        .json()
        .get("ghost")
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned();

    let bodies: Vec<Value> = std::thread::scope(|scope| {
        let half = |range: std::ops::Range<usize>| {
            let (token, ghost) = (&token, &ghost);
            scope.spawn(move || {
                range
                    .map(|n| {
                        let (device, name) = (format!("DEVICE{n:04}"), format!("Guest number {n}"));
                        join_body(token, ghost, &device, &name)
                    })
                    .collect::<Vec<_>>()
            })
        };
        let (one, two) = (half(0..GUESTS / 2), half(GUESTS / 2..GUESTS));
        let mut all = one.join().unwrap();
        all.extend(two.join().unwrap());
        all
    });

    let gate = Barrier::new(GUESTS);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let waiting: Vec<_> = bodies
            .iter()
            .map(|body| {
                let (api, gate) = (lab.guests(), &gate);
                scope.spawn(move || {
                    gate.wait();
                    join(&api, body)
                })
            })
            .collect();
        waiting
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });

    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for answer in &answers {
        let code = answer
            .json()
            .pointer("/error/code")
            .map_or_else(String::new, |code| {
                code.as_str().unwrap_or_default().to_owned()
            });
        *kinds
            .entry(format!("{} {code}", answer.status))
            .or_default() += 1;
    }
    assert_eq!(kinds.get("200 "), Some(&1), "{kinds:?}");
    assert_eq!(kinds.get("409 link_used"), Some(&(GUESTS - 1)), "{kinds:?}");

    let invite = host.next_invite().unwrap();
    assert_eq!(invite.inviter, ghost);
    std::thread::sleep(Duration::from_secs(2));
    let more = host.events().drain();
    assert!(
        !more
            .iter()
            .any(|event| format!("{event:?}").contains("Invite(")),
        "{more:?}"
    );

    // A lost answer costs the winner nothing: the same request has the same answer.
    let winner = answers
        .iter()
        .position(|answer| answer.status == 200)
        .unwrap();
    let again = join(&lab.guests(), bodies.get(winner).unwrap());
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.json(), answers.get(winner).unwrap().json());
}

#[test]
fn a_browser_without_a_link_is_told_so() {
    let lab = lab().unwrap();
    let guest = Guest::open(&format!("{}/", lab.public_url())).unwrap();
    guest.wait_screen("no-link").unwrap();
    drop(guest);
    // The page's own security policy keeps whatever is inserted from running.
    let browser = Browser::start().unwrap();
    browser
        .session()
        .go(&format!("{}/", lab.public_url()))
        .unwrap();
    let script = "try {
            const s = document.createElement('script');
            s.textContent = 'window.ran = true';
            document.body.append(s);
        } catch {}
        return window.ran ?? false";
    assert_eq!(browser.session().run(script).unwrap(), json!(false));
}

fn look(lab: &Lab, token: &str) -> Answer {
    lab.guests()
        .call("POST", "/api/v1/link", Some(&json!({"token": token})))
        .unwrap()
}

/// A crowd is more than a listener's queue holds, so a connection may be refused at first.
fn join(api: &Api, body: &Value) -> Answer {
    for _ in 0..100 {
        if let Ok(answer) = api.call("POST", "/api/v1/join", Some(body)) {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    api.call("POST", "/api/v1/join", Some(body)).unwrap()
}

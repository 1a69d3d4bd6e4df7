//! A host blocks while the guest writes, in any order: from the block's commit on nothing is accepted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::RngExt as _;
use vestibule_bridge::id::DeviceId;
use vestibule_bridge::input::Membership;
use vestibule_bridge::store::Facts as _;
use vestibule_bridge::testing::MemoryStore;

use super::*;

/// How many orders are tried.
const ORDERS: u64 = 1000;
/// How many frames the guest would like to send.
const FRAMES: u64 = 24;

fn portal() -> PortalId {
    PortalId::from_u128(1)
}

fn frame(n: u64) -> Input {
    let portal = portal();
    if n.is_multiple_of(3) {
        let content = json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "k",
            "ciphertext": { "r": { "type": 1, "body": "AAAA" } } });
        Input::SendToDevice {
            portal,
            n,
            event_type: "m.room.encrypted".to_owned(),
            messages: [(DeviceId::new("HOSTDEVICE"), content)].into(),
        }
    } else {
        let content = megolm("AAAA");
        Input::Send { portal, n, content }
    }
}

/// The ways in which a host ends a chat for good.
fn block(way: u64) -> Input {
    let member = |membership| RoomEventKind::Member {
        target: sample::ghost(1),
        membership,
    };
    let message = RoomEventKind::Message {
        msgtype: "m.text".to_owned(),
        body: "block 1".to_owned(),
        related: false,
        came: vestibule_bridge::input::Came::Plain,
    };
    let (room, kind) = match way % 3 {
        0 => (management(), message),
        1 => (sample::room(1), member(Membership::Ban)),
        _ => (sample::room(1), member(Membership::Leave)),
    };
    Input::Room(event("$block", room, alice(), kind))
}

fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let mut link = sample::link(1, &alice());
    link.number = 1;
    link.state = vestibule_bridge::link::LinkState::Used {
        portal: portal(),
        at: START,
    };
    let ends = START + Duration::from_secs(24 * 60 * 60);
    let chat = sample::portal(1, &alice(), ends).unwrap();
    let open = Change::PutPortal {
        portal: Box::new(chat),
        was_due: None,
        due: Some(ends),
    };
    put(&store, vec![management_room(), Change::PutLink(link), open]);
    store
}

/// A moment whose length is random.
async fn a_moment(rng: &mut StdRng) {
    for _ in 0..rng.random_range(0..40) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_orders_of_block_and_send_accept_nothing_after_the_block() {
    let (mut early, mut late) = (0, 0);
    for seed in 0..ORDERS {
        let accepted = one_order(seed).await;
        early += u64::from(accepted == 0);
        late += u64::from(accepted == FRAMES);
    }
    // Most blocks came in the midst, or this would show little.
    assert!(early + late < ORDERS / 2, "{early} and {late} of {ORDERS}");
}

async fn one_order(seed: u64) -> u64 {
    let store = Arc::new(store());
    let told = Told::default();
    let driver = Driver::start(
        Arc::clone(&store),
        Arc::new(sample::policy()),
        Arc::new(MockClock::at(START)),
        StdRng::seed_from_u64(seed),
        None,
        told.clone(),
    )
    .unwrap();
    let accepted = Arc::new(AtomicU64::new(0));
    let blocked = Arc::new(AtomicBool::new(false));
    let guest = {
        let (driver, accepted, blocked) =
            (driver.clone(), Arc::clone(&accepted), Arc::clone(&blocked));
        let mut rng = StdRng::seed_from_u64(2 * seed);
        tokio::spawn(async move {
            for n in 1..=FRAMES {
                a_moment(&mut rng).await;
                let too_late = blocked.load(Ordering::SeqCst);
                let answer = driver.submit(frame(n)).await.unwrap();
                assert!(!(too_late && answer.is_ok()), "frame {n} of order {seed}");
                match answer {
                    Ok(_) => accepted.fetch_add(1, Ordering::SeqCst),
                    Err(refusal) => {
                        assert_eq!(refusal, Refusal::Ended, "order {seed}");
                        return;
                    }
                };
            }
        })
    };
    // The same frames once more, as of a second connection.
    let replay = {
        let (driver, accepted) = (driver.clone(), Arc::clone(&accepted));
        let mut rng = StdRng::seed_from_u64(2 * seed + 1);
        tokio::spawn(async move {
            for _ in 0..FRAMES {
                a_moment(&mut rng).await;
                let known = accepted.load(Ordering::SeqCst);
                if known > 0 {
                    let n = rng.random_range(1..=known);
                    let answer = driver.submit(frame(n)).await.unwrap();
                    assert!(answer.is_ok(), "known already");
                }
            }
        })
    };
    let mut rng = StdRng::seed_from_u64(!seed);
    let before = rng.random_range(0..=FRAMES);
    while accepted.load(Ordering::SeqCst) < before {
        tokio::task::yield_now().await;
    }
    a_moment(&mut rng).await;
    driver.submit(block(seed)).await.unwrap().unwrap();
    blocked.store(true, Ordering::SeqCst);
    guest.await.unwrap();
    replay.await.unwrap();
    // What comes later still, also of what was accepted before.
    for n in 1..=FRAMES + 1 {
        let _refused_or_known = driver.submit(frame(n)).await.unwrap();
    }
    driver.stop().await;

    let effects = store.effects(None, usize::MAX).unwrap();
    let kind = |wanted: fn(&Effect) -> bool| {
        let of_kind = effects
            .iter()
            .filter(move |(_, effect)| effect.as_ref().is_some_and(wanted));
        of_kind.map(|(id, _)| *id).collect::<Vec<_>>()
    };
    let sent = kind(|effect| {
        matches!(
            effect,
            Effect::SendEvent { .. } | Effect::SendToDevice { .. }
        )
    });
    let [end] = kind(|effect| matches!(effect, Effect::GhostLeaves { .. }))[..] else {
        panic!("ended once: {effects:?}");
    };
    assert!(sent.iter().all(|sent| *sent < end), "order {seed}");
    let order: Vec<EffectId> = told
        .take()
        .into_iter()
        .flat_map(|news| news.effects)
        .map(|effect| effect.id)
        .collect();
    assert!(order.is_sorted(), "stored in the order of decision");
    let portal = store.portal(portal()).unwrap().unwrap();
    assert!(portal.is_closed());
    assert_eq!(sent.len() as u64, portal.visit.last_n, "order {seed}");
    sent.len() as u64
}

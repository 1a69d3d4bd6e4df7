//! A store that is slow, that fails, and that is well again.

use vestibule_bridge::testing::MemoryStore;
use vestibule_bridge::testing::frail::{Fate, FrailStore};

use super::*;

/// Longer than any commit in memory takes, and short enough for a test to wait for.
const PATIENCE: Duration = Duration::from_millis(80);

type Frail = FrailStore<MemoryStore>;

struct Bench {
    store: Arc<Frail>,
    driver: Driver,
    told: Told,
}

impl Bench {
    /// A portal of Alice in room 1.
    fn start() -> Self {
        let store = Arc::new(Frail::new(MemoryStore::new()));
        let portal = sample::portal(1, &alice(), Timestamp(u64::MAX)).unwrap();
        let due = portal.deadline();
        let portal = Change::PutPortal {
            portal: Box::new(portal),
            was_due: None,
            due,
        };
        put(&*store, vec![management_room(), portal]);
        let told = Told::default();
        let driver = Driver::start(
            Arc::clone(&store),
            Arc::new(sample::policy()),
            Arc::new(MockClock::at(START)),
            StdRng::seed_from_u64(1),
            None,
            told.clone(),
        );
        let driver = driver.unwrap().with_patience(PATIENCE);
        Self {
            store,
            driver,
            told,
        }
    }

    /// The homeserver pushes a transaction with one message of the host; whether it is answered well.
    async fn push(&self, number: usize) -> bool {
        let kind = RoomEventKind::Encrypted {
            content: megolm(&number.to_string()),
        };
        let event = event(&format!("${number}"), sample::room(1), alice(), kind);
        let transaction = Some(format!("t{number}"));
        let pushed = self
            .driver
            .submit_all(vec![Input::Room(event)], transaction);
        pushed.await.is_ok()
    }

    /// As the homeserver does: each transaction until it is answered well, then the next.
    async fn push_until_taken(&self, numbers: std::ops::Range<usize>) -> usize {
        let mut refused = 0;
        for number in numbers {
            while !self.push(number).await {
                refused += 1;
            }
        }
        refused
    }

    /// The guest sends a frame; whether it was counted.
    async fn send(&self, n: u64) -> bool {
        let portal = PortalId::from_u128(1);
        let content = megolm(&n.to_string());
        let sent = self.driver.submit(Input::Send { portal, n, content });
        matches!(sent.await, Ok(Ok(Answer::Counted { .. })))
    }

    /// What the page would get of the host's messages.
    fn delivered(&self) -> Vec<String> {
        let rows = self.store.begin();
        let frames = rows.frames(PortalId::from_u128(1), 0, usize::MAX).unwrap();
        let frames = frames.into_iter().map(|(_, frame)| match frame {
            InboxFrame::Event { event, .. } => event.content["ciphertext"].as_str().unwrap().into(),
            other => panic!("{other:?}"),
        });
        frames.collect()
    }

    /// The guest's frames that wait to be sent, in order.
    fn to_send(&self) -> Vec<u64> {
        let effects = self.store.begin().effects(None, usize::MAX).unwrap();
        let effects = effects
            .into_iter()
            .map(|(_, effect)| match effect.unwrap() {
                Effect::SendEvent { n, .. } => n,
                other => panic!("{other:?}"),
            });
        effects.collect()
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn what_takes_too_long_is_refused_and_counts_once_in_the_end() {
    let bench = Bench::start();
    assert!(bench.push(0).await && bench.send(1).await);
    bench.store.set(Fate::Hangs);
    // The first is with the store, the others wait for it; nobody waits for ever.
    for _ in 0..3 {
        assert!(!bench.push(1).await);
        assert!(!bench.send(2).await);
    }
    let late = bench.driver.submit(super::tick()).await;
    assert!(matches!(late, Err(DriveError::Late(_))), "{late:?}");
    assert_eq!(
        bench.delivered(),
        numbers(0..1),
        "nothing before its commit"
    );
    bench.store.set(Fate::Well);
    bench.push_until_taken(1..4).await;
    assert!(bench.send(2).await && bench.send(3).await);
    assert_eq!(bench.delivered(), numbers(0..4));
    assert_eq!(bench.to_send(), [1, 2, 3]);
    assert_eq!(bench.driver.trouble(), None);
}

#[tokio::test]
async fn a_store_that_fails_takes_nothing_and_says_so_until_it_is_well() {
    for fate in [Fate::Fails, Fate::FailsAfterwards] {
        let bench = Bench::start();
        assert!(bench.push(0).await && bench.send(1).await);
        bench.store.set(fate);
        assert!(!bench.push(1).await && !bench.send(2).await);
        assert_eq!(bench.driver.trouble(), Some(Trouble::Failing));
        // What changes nothing would be stored without a write, and proves nothing.
        assert!(bench.driver.submit(super::tick()).await.is_err());
        assert_eq!(bench.driver.trouble(), Some(Trouble::Failing));
        bench.told.take();
        bench.store.set(Fate::Well);
        assert!(bench.driver.submit(super::tick()).await.is_ok());
        assert_eq!(bench.driver.trouble(), None);

        // Whoever waits is woken, for what was said to have failed may have been stored.
        let news = bench.told.take();
        assert_eq!(news.len(), 1);
        assert!(news[0].healed);
        let stored = if fate == Fate::Fails { 1 } else { 2 };
        assert_eq!(news[0].effects.len(), stored, "{fate:?}");
        assert_eq!(bench.to_send().len(), stored, "{fate:?}");

        assert_eq!(bench.push_until_taken(1..3).await, 0);
        assert!(bench.send(2).await && bench.send(3).await);
        assert_eq!(bench.delivered(), numbers(0..3), "{fate:?}");
        assert_eq!(bench.to_send(), [1, 2, 3], "{fate:?}");
        assert!(bench.told.take().iter().all(|news| !news.healed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_now_and_then_loses_and_doubles_nothing() {
    let bench = Arc::new(Bench::start());
    let disk = Arc::clone(&bench);
    let faults = tokio::spawn(async move {
        let fates = [Fate::Fails, Fate::FailsAfterwards, Fate::Hangs];
        for fate in fates.into_iter().cycle().take(30) {
            disk.store.set(fate);
            tokio::time::sleep(Duration::from_millis(7)).await;
            disk.store.set(Fate::Well);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    let guest = Arc::clone(&bench);
    let guest = tokio::spawn(async move {
        let (mut counted, mut refused) = (0, 0);
        while counted < 200 || refused == 0 {
            if guest.send(counted + 1).await {
                counted += 1;
            } else {
                refused += 1;
            }
        }
        counted
    });
    let mut pushed = 0;
    let mut refused = 0;
    while pushed < 200 || refused == 0 {
        refused += bench.push_until_taken(pushed..pushed + 1).await;
        pushed += 1;
    }
    let counted = guest.await.unwrap();
    faults.await.unwrap();
    assert_eq!(bench.delivered(), numbers(0..pushed));
    assert_eq!(bench.to_send(), (1..=counted).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stopped_driver_has_stored_what_came_before_and_lets_go() {
    let bench = Bench::start();
    let (pushed, ()) = tokio::join!(bench.push(0), bench.driver.stop());
    assert!(pushed);
    assert_eq!(Arc::strong_count(&bench.store), 1);
    let late = bench.driver.submit(super::tick()).await;
    assert!(matches!(late, Err(DriveError::Stopping)), "{late:?}");
    // Stopping twice is no mistake.
    bench.driver.stop().await;
}

//! How long the calls take that a message waits for, ours beside matrix-sdk-crypto's:
//! `cargo bench -p vestibule-differential`.
//!
//! Each call is timed with what it gives its caller to store: ours with the records that changed,
//! matrix-sdk-crypto's with the writing into its store in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measure")]

use std::cell::RefCell;

use divan::Bencher;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use vestibule_crypto::{Machine, Prepare};
use vestibule_differential::sdk::Sdk;
use vestibule_differential::stage::Stage;
use vestibule_differential::{GUEST, GUEST_DEVICE, HOST, ROOM, TWIN};

const BODY: &str = "A line as people write them, neither long nor short.";
/// So many Megolm sessions are in an old store.
const SESSIONS: usize = 200;
const MEMBERS: [&str; 1] = [HOST];

fn main() {
    divan::main();
}

/// Both guests have met a host with so many devices.
struct Scene {
    runtime: Runtime,
    stage: Stage,
    host: Sdk,
    twin: Sdk,
}

impl Scene {
    fn with(devices: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (stage, host, twin) = runtime.block_on(async {
            let mut stage = Stage::new();
            let host = stage.signed("HOST0").await;
            for device in 1..devices {
                let id = format!("HOST{device}");
                stage.unsigned(&id).await;
                host.track(&mut stage.server, &[HOST]).await;
                host.sign(&mut stage.server, &id).await;
            }
            let twin = stage.twin().await;
            host.track(&mut stage.server, &[GUEST, TWIN]).await;
            stage.guest.query(&stage.server, stage.now);
            (stage, host, twin)
        });
        Self {
            runtime,
            stage,
            host,
            twin,
        }
    }

    /// Both have Olm sessions with every device, and a Megolm session.
    fn talking(devices: usize) -> Self {
        let mut scene = Self::with(devices);
        scene.stage.guest_says(BODY);
        let said = scene.stage.says(&scene.twin, &MEMBERS, BODY);
        scene.runtime.block_on(said);
        scene
    }

    fn host_says(&mut self) -> Value {
        let said = self.stage.says(&self.host, &[GUEST, TWIN], BODY);
        self.runtime.block_on(said)
    }

    fn guests_sync(&mut self) {
        self.stage.guest_syncs();
        for event in self.stage.server.take(TWIN, GUEST_DEVICE) {
            self.runtime.block_on(self.twin.receive_to_device(&event));
        }
    }
}

/// Encrypts one message of a room whose key is shared.
#[divan::bench_group]
mod encrypt {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let mut scene = Scene::talking(1);
        let now = scene.stage.now;
        bencher.bench_local(|| {
            let machine = &mut scene.stage.guest.machine;
            // It ends after a hundred messages.
            match machine.encrypt_text(ROOM, &MEMBERS, BODY, now) {
                Ok(step) => step.output,
                Err(_) => {
                    scene.stage.guest_says(BODY);
                    Value::Null
                }
            }
        });
    }

    #[divan::bench]
    fn sdk(bencher: Bencher) {
        let scene = Scene::talking(1);
        let content = json!({"msgtype": "m.text", "body": BODY});
        let scene = RefCell::new((scene, 0));
        bencher
            .with_inputs(|| {
                let (scene, count) = &mut *scene.borrow_mut();
                *count += 1;
                if *count % 90 == 0 {
                    scene.runtime.block_on(scene.twin.rotate(ROOM));
                    let said = scene.stage.says(&scene.twin, &MEMBERS, BODY);
                    scene.runtime.block_on(said);
                }
            })
            .bench_local_values(|()| {
                let (scene, _) = &*scene.borrow();
                let encrypted = scene.twin.encrypt(ROOM, "m.room.message", &content);
                scene.runtime.block_on(encrypted)
            });
    }
}

/// Decrypts one message whose key is there.
#[divan::bench_group]
mod decrypt {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let scene = RefCell::new(Scene::talking(1));
        bencher
            .with_inputs(|| {
                let mut scene = scene.borrow_mut();
                let event = scene.host_says();
                scene.guests_sync();
                event
            })
            .bench_local_values(|event| {
                let machine = &mut scene.borrow_mut().stage.guest.machine;
                machine.receive_event(ROOM, &event).unwrap().output
            });
    }

    #[divan::bench]
    fn sdk(bencher: Bencher) {
        let scene = RefCell::new(Scene::talking(1));
        bencher
            .with_inputs(|| {
                let mut scene = scene.borrow_mut();
                let event = scene.host_says();
                scene.guests_sync();
                event
            })
            .bench_local_values(|event| {
                let scene = scene.borrow();
                let verdict = scene.runtime.block_on(scene.twin.read(&event));
                assert!(verdict.is_read());
            });
    }
}

/// Begins a Megolm session and encrypts its key for each device, with which there are Olm sessions.
#[divan::bench_group]
mod new_session {
    use super::*;

    #[divan::bench(args = [1, 5])]
    fn ours(bencher: Bencher, devices: usize) {
        let mut scene = Scene::talking(devices);
        // The old session is over, and the device list is fresh.
        let now = scene.stage.now + 8 * 24 * 3_600_000;
        scene.stage.guest.query(&scene.stage.server, now);
        let records = scene.stage.guest.records;
        bencher
            .with_inputs(|| Machine::open(records.clone()).unwrap())
            .bench_local_values(|mut machine| {
                loop {
                    match machine.prepare(ROOM, &MEMBERS, now).unwrap().output {
                        Prepare::ToDevice { id, .. } => {
                            drop(machine.to_device_stored(&id).unwrap());
                        }
                        Prepare::Ready => break machine,
                        other => panic!("{other:?}"),
                    }
                }
            });
    }

    #[divan::bench(args = [1, 5])]
    fn sdk(bencher: Bencher, devices: usize) {
        let scene = RefCell::new(Scene::talking(devices));
        bencher
            .with_inputs(|| {
                let scene = scene.borrow();
                scene.runtime.block_on(scene.twin.rotate(ROOM));
            })
            .bench_local_values(|()| {
                let scene = &mut *scene.borrow_mut();
                let mut out = Vec::new();
                let server = &mut scene.stage.server;
                let shared = scene.twin.share(server, ROOM, &MEMBERS, None, &mut out);
                scene.runtime.block_on(shared).unwrap();
                out
            });
    }
}

/// Makes fifty one-time keys and signs them.
#[divan::bench_group]
mod fifty_one_time_keys {
    use super::*;

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let scene = Scene::with(1);
        let now = scene.stage.now + 3_600_000;
        let records = scene.stage.guest.records;
        bencher
            .with_inputs(|| Machine::open(records.clone()).unwrap())
            .bench_local_values(|mut machine| {
                let upload = machine.one_time_keys(0, true, now).unwrap().output;
                assert_eq!(upload.unwrap().one_time_keys.len(), 50);
            });
    }

    #[divan::bench]
    fn sdk(bencher: Bencher) {
        let scene = RefCell::new(Scene::with(1));
        bencher
            .with_inputs(|| scene.borrow_mut().stage.server.drain(TWIN, GUEST_DEVICE))
            .bench_local_values(|()| {
                let scene = &mut *scene.borrow_mut();
                scene.runtime.block_on(async {
                    scene.twin.count(&scene.stage.server).await;
                    scene.twin.settle(&mut scene.stage.server, None).await
                })
            });
    }
}

/// Opens a machine that holds the keys of two hundred Megolm sessions, and reads a message.
#[divan::bench_group]
mod open_and_read {
    use super::*;

    fn old() -> (Scene, Value) {
        let mut scene = Scene::talking(1);
        for _ in 1..SESSIONS {
            scene.runtime.block_on(scene.host.rotate(ROOM));
            scene.host_says();
            scene.guests_sync();
        }
        let event = scene.host_says();
        scene.guests_sync();
        (scene, event)
    }

    #[divan::bench]
    fn ours(bencher: Bencher) {
        let (scene, event) = old();
        let records = scene.stage.guest.records;
        bencher
            .with_inputs(|| records.clone())
            .bench_local_values(|records| {
                let mut machine = Machine::open(records).unwrap();
                machine.receive_event(ROOM, &event).unwrap().output
            });
    }

    #[divan::bench]
    fn sdk(bencher: Bencher) {
        let (mut scene, event) = old();
        bencher.bench_local(|| {
            scene.runtime.block_on(async {
                scene.twin.open().await;
                assert!(scene.twin.read(&event).await.is_read());
            });
        });
    }
}

//! A link comes with a picture that a camera reads, and comes without one when that can't be.

use serde_json::Value;

use crate::bridge::Setup;
use crate::homeserver::fault::Fault;
use crate::host::Host;
use crate::world::{World, token};

/// What a camera reads in a picture that the bot showed.
fn seen(world: &World, picture: &Value) -> String {
    let url = picture["url"].as_str().unwrap();
    let png = world.homeserver.with(|state| state.media[url].clone());
    assert_eq!(picture["info"]["size"], png.len());
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let size = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(picture["info"]["w"], size.width);
    assert_eq!(picture["info"]["h"], size.height);
    let grey = |x: usize, y: usize| pixels[y * size.line_size + x];
    let (width, height) = (size.width as usize, size.height as usize);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
    let (_, text) = image.detect_grids()[0].decode().unwrap();
    text
}

async fn pictures(world: &World, host: &Host) -> Vec<Value> {
    world.until_idle().await;
    world.homeserver.with(|state| host.pictures(state))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_link_and_a_renewed_one_come_as_pictures_too() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    for (number, command) in ["invite Maya", "renew 1"].into_iter().enumerate() {
        let words = world.command(&mut host, command).await;
        let shown = pictures(&world, &host).await;
        assert_eq!(shown.len(), number + 1);
        let picture = shown.last().unwrap();
        let link = format!("https://chat.example.org/#{}", token(&words));
        assert_eq!(seen(&world, picture), link);
        let text = picture["body"].as_str().unwrap();
        assert!(text.contains("QR code"), "{text}");
        assert!(!picture.to_string().contains(&token(&words)));
        assert_eq!(picture["info"]["mimetype"], "image/png");
    }
    // Nothing else does.
    world.command(&mut host, "list").await;
    assert_eq!(pictures(&world, &host).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_store_that_fails_costs_no_link() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let faults = [
        Fault::Status(413, "M_TOO_LARGE"),
        Fault::Status(404, "M_UNRECOGNIZED"),
        Fault::Status(502, "M_UNKNOWN"),
        Fault::Limited(60_000),
        Fault::Broken,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        world
            .homeserver
            .faults(|faults| faults.named("upload_media", fault, 1));
        let words = world.command(&mut host, "invite Maya").await;
        assert_eq!(world.bridge.look(&token(&words)).await.status, 200);
        assert_eq!(pictures(&world, &host).await.len(), 0, "{fault:?}");
        assert_eq!(
            world.homeserver.count("upload_media"),
            number + 1,
            "{fault:?}"
        );
        assert_eq!(world.bridge.ready().await.status, 200, "{fault:?}");
    }
    world.command(&mut host, "invite Maya").await;
    assert_eq!(pictures(&world, &host).await.len(), 1);
}

/// A link that had to be told again comes with one picture, of the token that works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_are_said_again_are_drawn_once() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    world
        .homeserver
        .faults(|faults| faults.named("send", Fault::Unanswered, 1));
    let words = world.command(&mut host, "invite Maya").await;
    let shown = pictures(&world, &host).await;
    assert_eq!(shown.len(), 1);
    assert!(seen(&world, &shown[0]).ends_with(&token(&words)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_can_do_without() {
    let setup = Setup {
        guests: "qr_code: false",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let mut host = world.host("Alice").await;
    world.command(&mut host, "invite Maya").await;
    world.until_idle().await;
    assert_eq!(world.homeserver.count("upload_media"), 0);
}

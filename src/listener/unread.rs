//! An answer that arrives. Whoever is still sending a body when the connection closes sees that it is
//! gone and not why: so what nobody wanted of a body is read and thrown away before the answer, as far
//! as there is an end to it soon. hyper itself reads one piece only (hyperium/hyper#3241).

use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How many bytes are thrown away, many times what any request needs. Whoever sends more may find the
/// connection closed.
const MOST: usize = 4 * 1024 * 1024;
/// How long it may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Answers when the body has come, or when enough of it has.
pub async fn thrown_away(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (give_back, mut given_back) = oneshot::channel();
    let request = request.map(|body| {
        Body::new(Lent {
            body,
            give_back: Some(give_back),
        })
    });
    let response = next.run(request).await;
    if let Ok(rest) = given_back.try_recv() {
        let _most_of_it = timeout(WITHIN, all_of(Limited::new(rest, MOST))).await;
    }
    response
}

async fn all_of(mut body: Limited<Body>) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// A body that goes back when it is dropped before its end.
struct Lent {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = Body::empty();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (false, Some(give_back)) = (self.body.is_end_stream(), self.give_back.take()) {
            // Whoever lent it is gone when the connection is.
            let _gone = give_back.send(take(&mut self.body));
        }
    }
}

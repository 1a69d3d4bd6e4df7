//! The socket as a browser uses it, or misuses it.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::bridge::Bridge;
use crate::homeserver::PATIENCE;

/// An open connection.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Connects as the page of this origin; fails with the status of the answer.
    pub async fn open(bridge: &Bridge, path: &str, origin: Option<&str>) -> Result<Self, u16> {
        let stream = TcpStream::connect(bridge.guests()).await.unwrap();
        Self::over(stream, bridge, path, origin).await
    }

    /// Connects as the page does, on a machine that takes in very little at once.
    pub async fn of_page_with_small_buffers(bridge: &Bridge) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(bridge.guests()).await.unwrap();
        let origin = Some(bridge.origin.as_str());
        Self::over(stream, bridge, "/api/v1/socket", origin)
            .await
            .unwrap()
    }

    async fn over(
        stream: TcpStream,
        bridge: &Bridge,
        path: &str,
        origin: Option<&str>,
    ) -> Result<Self, u16> {
        let address = bridge.guests();
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
        }
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("no socket: {error}"),
        }
    }

    /// Connects as the page does.
    pub async fn of_page(bridge: &Bridge) -> Self {
        Self::open(bridge, "/api/v1/socket", Some(&bridge.origin))
            .await
            .unwrap()
    }

    pub async fn send(&mut self, frame: &Value) {
        self.send_message(Message::text(frame.to_string())).await;
    }

    /// Sends anything; that the other end is gone shows when reading.
    pub async fn send_message(&mut self, message: Message) {
        let _gone = self.0.send(message).await;
    }

    /// The next frame; none when the connection is over.
    pub async fn next(&mut self) -> Option<Value> {
        let next = async {
            loop {
                match self.0.next().await? {
                    Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(other) => panic!("no frame of the protocol: {other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .expect("a frame or the end comes in time")
    }

    /// The code of the error with which the connection is closed; other frames before it are left
    /// out. Empty when it is closed without one.
    pub async fn closing_code(&mut self) -> String {
        let mut code = String::new();
        while let Some(frame) = self.next().await {
            if frame["type"] == "error" {
                code = frame["code"].as_str().unwrap().to_owned();
            }
        }
        code
    }
}

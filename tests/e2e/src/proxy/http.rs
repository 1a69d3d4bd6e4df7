//! HTTP/1.1 messages, read whole.

use std::io::{BufRead, Read};

use anyhow::{Context as _, Result, ensure};

/// A request with all of its body.
pub struct Request {
    head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Request {
    /// The next one of a connection; nothing when the client has closed it.
    pub fn read(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let Some(head) = read_head(reader)? else {
            return Ok(None);
        };
        let length = match field(&head, "content-length") {
            Some(length) => length.parse().context("content-length")?,
            None => 0,
        };
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        Ok(Some(Self { head, body }))
    }

    pub fn is_upgrade(&self) -> bool {
        field(&self.head, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }

    /// As it came.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.head[..], &self.body[..]].concat()
    }

    /// Made to close its connection, so that the answer ends where the connection does.
    pub fn bytes_closing(&self) -> Vec<u8> {
        let mut bytes = without_connection(&self.head);
        bytes.extend_from_slice(b"connection: close\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The path with its query.
    pub fn target(&self) -> &str {
        self.words().1
    }

    /// Method and path, without the query: `PUT /_matrix/…`.
    pub fn line(&self) -> String {
        let (method, target) = self.words();
        format!("{method} {}", target.split('?').next().unwrap_or_default())
    }

    fn words(&self) -> (&str, &str) {
        let end = self.head.iter().position(|byte| *byte == b'\r');
        let line = self.head.get(..end.unwrap_or_default()).unwrap_or_default();
        let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
        let mut next = || words.next().unwrap_or_default();
        (next(), next())
    }
}

/// An answer with all of its body.
pub struct Response {
    head: Vec<u8>,
    /// The HTTP status.
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the client sees where it ends although the connection stays.
    pub tells_its_end: bool,
}

impl Response {
    /// One of our own, with JSON.
    pub fn of(status: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        Self {
            head: head.into_bytes(),
            status: 0,
            body: body.as_bytes().to_vec(),
            tells_its_end: true,
        }
    }

    /// Everything until the server closes the connection.
    pub fn read(server: &mut impl Read) -> Result<Self> {
        let mut reader = std::io::BufReader::new(server);
        let head = read_head(&mut reader)?.context("no answer")?;
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        let status = head.get(9..12).context("a short status line")?;
        let status = std::str::from_utf8(status)?.parse().context("status")?;
        let length = field(&head, "content-length");
        if let Some(length) = length.as_deref() {
            let length: usize = length.parse().context("content-length")?;
            ensure!(body.len() >= length, "the answer broke off");
        }
        let is_chunked = field(&head, "transfer-encoding").is_some();
        Ok(Self {
            tells_its_end: length.is_some() || is_chunked || matches!(status, 204 | 304),
            head,
            status,
            body,
        })
    }

    /// For the client, whose connection stays if it can.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = without_connection(&self.head);
        if !self.tells_its_end {
            bytes.extend_from_slice(b"connection: close\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Up to and with the empty line; nothing when the connection was closed before.
pub fn read_head(reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        reader.read_until(b'\n', &mut head)?;
        match head.get(before..) {
            Some([]) | None if before == 0 => return Ok(None),
            Some([]) | None => anyhow::bail!("the head broke off"),
            Some(b"\r\n" | b"\n") => return Ok(Some(head)),
            Some(_) => {}
        }
    }
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|byte| *byte == b'\n')
}

fn field(head: &[u8], name: &str) -> Option<String> {
    lines(head).find_map(|line| {
        let (found, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        found
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

/// Without its `connection` field and the empty line at its end.
fn without_connection(head: &[u8]) -> Vec<u8> {
    let stays = |line: &&[u8]| {
        let name = line.get(..11).unwrap_or_default();
        !name.eq_ignore_ascii_case(b"connection:") && *line != b"\r\n" && *line != b"\n"
    };
    lines(head).filter(stays).flatten().copied().collect()
}

//! WebSocket frames (RFC 6455, section 5.2), handed on one by one as they came.

use std::io::{BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::http::{Request, read_head};
use super::{Shared, Way};

const TEXT: u8 = 1;

struct Frame {
    raw: Vec<u8>,
    /// A whole text frame that is JSON.
    text: Option<Value>,
}

impl Shared {
    /// Hands a socket on until one side closes it.
    pub(super) fn relay(
        &self,
        id: u64,
        request: &Request,
        client: &TcpStream,
        from_client: BufReader<TcpStream>,
    ) -> Result<()> {
        self.state().seen.push(request.line());
        let mut server = TcpStream::connect(&self.upstream)?;
        if let Some(connection) = self.state().connections.get_mut(&id) {
            connection.push(server.try_clone()?);
        }
        server.write_all(&request.bytes())?;
        let mut from_server = BufReader::new(server.try_clone()?);
        let head = read_head(&mut from_server)?.context("no answer")?;
        let mut to_client = client.try_clone()?;
        to_client.write_all(&head)?;
        if !head.starts_with(b"HTTP/1.1 101") {
            std::io::copy(&mut from_server, &mut to_client)?;
            return Ok(());
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // However it ends, it ends for both directions.
                let _ = self.pump(id, Way::Out, from_server, client);
                close_both(client, &server);
            });
            let _ = self.pump(id, Way::In, from_client, &server);
            close_both(client, &server);
        });
        Ok(())
    }

    fn pump(
        &self,
        id: u64,
        way: Way,
        mut from: BufReader<TcpStream>,
        mut to: &TcpStream,
    ) -> Result<()> {
        loop {
            let frame = read_frame(&mut from)?;
            // Also of what never arrives: it has left the browser.
            if let Some((witness, text)) = self.witness.as_ref().zip(frame.text.as_ref()) {
                witness.frame(id, way, text);
            }
            let (passes, delay) = self.judge(id, way, frame.text.as_ref());
            std::thread::sleep(delay);
            if passes {
                to.write_all(&frame.raw)?;
            }
        }
    }
}

fn close_both(client: &TcpStream, server: &TcpStream) {
    // Closed already is closed too.
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn read_frame(reader: &mut impl Read) -> Result<Frame> {
    let mut raw = Vec::new();
    let mut take = |count: u64| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        reader.by_ref().take(count).read_to_end(&mut bytes)?;
        anyhow::ensure!(bytes.len() as u64 == count, "the frame broke off");
        raw.extend_from_slice(&bytes);
        Ok(bytes)
    };
    let start = take(2)?;
    let (first, second) = start.first().zip(start.get(1)).context("a short frame")?;
    let (is_whole, opcode) = (first & 0x80 != 0, first & 0x0f);
    let length = match second & 0x7f {
        126 => number(&take(2)?),
        127 => number(&take(8)?),
        short => u64::from(short),
    };
    let mask = if second & 0x80 != 0 {
        take(4)?
    } else {
        vec![0]
    };
    let mut payload = take(length)?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let text = (is_whole && opcode == TEXT)
        .then(|| serde_json::from_slice(&payload).ok())
        .flatten();
    Ok(Frame { raw, text })
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn frames_of_both_directions_are_read() {
        let plain = [&[0x81, 0x0c][..], br#"{"type":"a"}"#].concat();
        let mut masked = vec![0x81, 0x80 | 0x0c, 1, 2, 3, 4];
        let mask = [1, 2, 3, 4].iter().cycle();
        masked.extend(br#"{"type":"b"}"#.iter().zip(mask).map(|(b, m)| b ^ m));
        let ping = vec![0x89, 0];
        let long = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let all = [&plain[..], &masked, &ping, &long].concat();
        let mut reader = &all[..];
        for (raw, kind) in [
            (plain, Some("a")),
            (masked, Some("b")),
            (ping, None),
            (long, None),
        ] {
            let frame = read_frame(&mut reader).unwrap();
            assert_eq!(frame.raw, raw);
            let text = frame.text.as_ref().map(|t| t["type"].as_str().unwrap());
            assert_eq!(text, kind);
        }
        assert!(read_frame(&mut reader).is_err());
    }
}

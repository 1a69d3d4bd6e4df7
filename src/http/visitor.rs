//! From which address a visitor comes, and how much may come from there. Behind a proxy every
//! connection is the proxy's, and the header in which it names the visitor can be written by anybody:
//! so it is believed only of proxies that the configuration names, and only as far as they wrote it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use axum::serve::IncomingStream;
use ipnet::IpNet;

use super::error::ApiError;
use crate::app::App;
use crate::listener::Listener;

/// How many proxies a request may have come through.
const PROXIES: usize = 16;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// What is counted as one address: one of version 4, or the 64 bits of version 6 behind which a
/// single household can choose its address as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(IpAddr);

impl Place {
    /// The place of this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self(address),
        }
    }
}

/// In which header the proxies name the visitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, which nearly all write.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => header::FORWARDED,
        }
    }

    /// The address in one element of the header.
    fn address(self, element: &str) -> Option<IpAddr> {
        let node = match self {
            Self::XForwardedFor => element,
            Self::Forwarded => element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then_some(value)
            })?,
        };
        address(node.trim().trim_matches('"'))
    }
}

/// An address with or without a port.
fn address(node: &str) -> Option<IpAddr> {
    let address = IpAddr::from_str(node).ok();
    let with_port = || SocketAddr::from_str(node).ok().map(|address| address.ip());
    let in_brackets = || {
        let inner = node.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok().map(IpAddr::V6)
    };
    address.or_else(with_port).or_else(in_brackets)
}

/// Whom a header is believed.
#[derive(Debug, Default)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: ForwardedHeader,
    told: AtomicBool,
}

impl Proxies {
    /// These and no others.
    #[must_use]
    pub fn new(trusted: Vec<IpNet>, header: ForwardedHeader) -> Self {
        Self {
            trusted,
            header,
            told: AtomicBool::new(false),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|known| known.contains(&address))
    }

    /// The visitor: going back from the connection, the first address that is not a proxy of ours.
    /// What stands before it in the header, whoever it is may have written themselves.
    #[must_use]
    pub fn visitor(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut believed = peer;
        if !self.trusts(peer) {
            return believed;
        }
        let lines = headers.get_all(self.header.name()).iter().rev();
        let elements = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        for element in elements.take(PROXIES) {
            // Something else than an address, `unknown` for example: the proxy is what is known.
            let Some(address) = self.header.address(element) else {
                break;
            };
            believed = address;
            if !self.trusts(address) {
                break;
            }
        }
        believed
    }

    /// Says once that a proxy should be trusted that isn't: else all who come through it are taken
    /// for one.
    fn tell(&self, peer: IpAddr, headers: &HeaderMap) {
        if !self.trusts(peer)
            && headers.contains_key(self.header.name())
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                %peer,
                "visitors are turned away who come through a proxy: if it is yours, name it in guests.trusted_proxies"
            );
        }
    }
}

/// The place from which a request comes.
#[derive(Clone, Copy, Debug)]
pub struct Visitor(pub Place);

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self(Place::of(from(parts, app))))
    }
}

fn from(parts: &Parts, app: &App) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<Peer>>();
    let peer = peer.map_or(Ipv6Addr::UNSPECIFIED.into(), |peer| peer.0.0.ip());
    app.proxies.visitor(peer, &parts.headers)
}

/// A visitor who may try once more; whoever may not is turned away, whatever they sent.
#[derive(Clone, Copy, Debug)]
pub struct Trying(pub Place);

impl FromRequestParts<Arc<App>> for Trying {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let place = Place::of(from(parts, app));
        match app.crowd.try_once(place, app.started.elapsed()) {
            Ok(()) => Ok(Self(place)),
            Err(wait) => {
                if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<Peer>>() {
                    app.proxies.tell(peer.0.ip(), &parts.headers);
                }
                Err(ApiError::too_many_tries(wait))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::HeaderValue;

    use super::*;

    fn visitor(header: ForwardedHeader, peer: &str, lines: &[&str]) -> String {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"];
        let trusted = trusted.map(|network| network.parse().unwrap());
        let proxies = Proxies::new(trusted.into(), header);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header.name(), HeaderValue::from_str(line).unwrap());
        }
        let other = match header {
            ForwardedHeader::XForwardedFor => ForwardedHeader::Forwarded,
            ForwardedHeader::Forwarded => ForwardedHeader::XForwardedFor,
        };
        // The header that the proxy doesn't write is the visitor's own.
        headers.append(other.name(), HeaderValue::from_static("for=6.6.6.6"));
        headers.append(other.name(), HeaderValue::from_static("6.6.6.6"));
        let visitor = proxies.visitor(peer.parse().unwrap(), &headers);
        visitor.to_string()
    }

    #[test]
    fn only_what_proxies_wrote_is_believed() {
        let table: &[(&str, &[&str], &str)] = &[
            // Nobody of ours stands in between.
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("203.0.113.9", &["127.0.0.1, 10.0.0.1"], "203.0.113.9"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // What the visitor wrote stands before what the proxy added.
            ("127.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("127.0.0.1", &["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
            (
                "127.0.0.1",
                &["127.0.0.1, 10.1.1.1, 198.51.100.1"],
                "198.51.100.1",
            ),
            (
                "127.0.0.1",
                &["6.6.6.6, 198.51.100.1, 10.2.3.4"],
                "198.51.100.1",
            ),
            ("127.0.0.1", &["10.0.0.7, 10.2.3.4"], "10.0.0.7"),
            // Where it ends in no address, the last one counts that did.
            ("127.0.0.1", &["6.6.6.6, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["6.6.6.6, , 10.2.3.4"], "10.2.3.4"),
            (
                "127.0.0.1",
                &["6.6.6.6, \"198.51.100.1, 10.2.3.4"],
                "198.51.100.1",
            ),
            ("127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("127.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
        ];
        for (peer, lines, expected) in table {
            let found = visitor(ForwardedHeader::XForwardedFor, peer, lines);
            assert_eq!(found, *expected, "{peer} {lines:?}");
        }
        let endless = vec!["10.0.0.1"; 10_000].join(", ");
        let found = visitor(ForwardedHeader::XForwardedFor, "127.0.0.1", &[&endless]);
        assert_eq!(found, "10.0.0.1");
    }

    #[test]
    fn the_standard_header_reads_too() {
        let table: &[(&[&str], &str)] = &[
            (&["for=198.51.100.1"], "198.51.100.1"),
            (
                &["for=6.6.6.6, For=\"198.51.100.1:47\";proto=https;by=10.0.0.1"],
                "198.51.100.1",
            ),
            (&["proto=https; for=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (
                &["for=6.6.6.6", "for=198.51.100.1, for=10.0.0.1"],
                "198.51.100.1",
            ),
            (&["for=6.6.6.6, for=_hidden"], "127.0.0.1"),
            (&["for=\"6.6.6.6, for=198.51.100.1"], "198.51.100.1"),
            (&["by=6.6.6.6"], "127.0.0.1"),
        ];
        for (lines, expected) in table {
            let found = visitor(ForwardedHeader::Forwarded, "127.0.0.1", lines);
            assert_eq!(found, *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_household_is_one_place() {
        let place = |address: &str| Place::of(address.parse().unwrap());
        assert_eq!(place("2001:db8:1:2::1"), place("2001:db8:1:2:ffff::9"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
        assert_eq!(place("::ffff:203.0.113.9"), place("203.0.113.9"));
        assert_ne!(place("203.0.113.9"), place("203.0.113.8"));
    }
}

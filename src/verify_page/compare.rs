//! What the answers of a site have in common, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use super::only;
use crate::http::assets::hex;

/// What no answer carries: it would set a cookie, open the page to other sites, or have a browser load
/// something, send something away or forget something.
const FORBIDDEN: [&str; 12] = [
    "access-control-allow-origin",
    "clear-site-data",
    "content-security-policy-report-only",
    "link",
    "nel",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "sourcemap",
    "x-sourcemap",
];
/// How much of a header's value is shown.
const SHOWN: usize = 300;

/// The answers so far.
pub(super) struct Answers {
    expected: HeaderMap,
    count: usize,
    notes: Vec<String>,
    /// What is wrong with headers, and on which answers.
    headers: BTreeMap<String, BTreeSet<String>>,
    names: BTreeSet<String>,
}

impl Answers {
    /// None yet; each should carry these headers.
    pub(super) fn new(expected: &HeaderMap) -> Self {
        Self {
            expected: expected.clone(),
            count: 0,
            notes: Vec::new(),
            headers: BTreeMap::new(),
            names: BTreeSet::new(),
        }
    }

    /// Something that differs.
    pub(super) fn note(&mut self, words: String) {
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }

    /// Compares the headers that every answer carries.
    pub(super) fn saw(&mut self, name: &str, headers: &HeaderMap) {
        self.count += 1;
        self.names.insert(name.to_owned());
        for (header, value) in &self.expected.clone() {
            self.expect(
                name,
                headers,
                header.as_str(),
                value.to_str().unwrap_or_default(),
            );
        }
        for header in FORBIDDEN {
            if headers.contains_key(header) {
                self.wrong(name, format!("the header {header} must not be there"));
            }
        }
    }

    /// Compares one header.
    pub(super) fn expect(&mut self, name: &str, headers: &HeaderMap, header: &str, expected: &str) {
        let problem = match only(headers, header).as_slice() {
            [found] if is_as_good(header, found, expected) => return,
            [] => format!("the header {header} is missing"),
            [found] => {
                let found: String = found.chars().take(SHOWN).collect();
                format!(
                    "the header {header} is “{}”, not “{expected}”",
                    found.escape_debug()
                )
            }
            several => format!("the header {header} is there {} times", several.len()),
        };
        self.wrong(name, problem);
    }

    fn wrong(&mut self, name: &str, problem: String) {
        let answers = self.headers.entry(problem).or_default();
        answers.insert(name.to_owned());
    }

    /// How many were seen.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All that differs, in words; what is wrong with a header is said once for all answers.
    pub(super) fn differences(self) -> Vec<String> {
        let mut differences = self.notes;
        for (problem, names) in self.headers {
            let place = if names.len() == self.names.len() {
                "every answer".to_owned()
            } else {
                names.into_iter().collect::<Vec<_>>().join(", ")
            };
            differences.push(format!("{problem} (on {place})"));
        }
        differences
    }
}

/// Whether a header says what it should. A proxy that speaks TLS itself may insist on it for longer.
fn is_as_good(header: &str, found: &str, expected: &str) -> bool {
    let age = |value: &str| {
        let mut pairs = value.split(';').filter_map(|part| part.split_once('='));
        let age = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
        age.and_then(|(_, age)| age.trim().trim_matches('"').parse::<u64>().ok())
            .unwrap_or_default()
    };
    found == expected
        || (header == header::STRICT_TRANSPORT_SECURITY.as_str() && age(found) >= age(expected))
}

/// The names of files in a list that `sha256sum --check` reads; lines that it wouldn't read count too,
/// as they stand.
pub(super) fn listed(list: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(list);
    let lines = text.lines().filter(|line| !line.is_empty());
    let name = |line: &str| line.split_once("  ").map(|(_, name)| name.to_owned());
    lines
        .map(|line| name(line).unwrap_or_else(|| line.chars().take(SHOWN).collect()))
        .collect()
}

/// The id that a build with this list of files has.
pub(super) fn build_id(list: &[u8]) -> String {
    hex(&Sha256::digest(list)).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_longer_promise_of_tls_is_as_good() {
        let header = "strict-transport-security";
        let ours = "max-age=31536000";
        for (found, good) in [
            (ours, true),
            ("max-age=63072000; includeSubDomains; preload", true),
            ("includeSubDomains; Max-Age=\"31536000\"", true),
            ("max-age=300", false),
            ("max-age=0", false),
            ("includeSubDomains", false),
            ("", false),
        ] {
            assert_eq!(is_as_good(header, found, ours), good, "{found}");
        }
        assert!(!is_as_good(
            "referrer-policy",
            "max-age=99999999",
            "no-referrer"
        ));
    }

    #[test]
    fn what_is_wrong_everywhere_is_said_once() {
        let expected = HeaderMap::from_iter([(
            header::REFERRER_POLICY,
            http::HeaderValue::from_static("no-referrer"),
        )]);
        let mut answers = Answers::new(&expected);
        answers.saw("a", &HeaderMap::new());
        answers.saw("b", &HeaderMap::new());
        let cookie = http::HeaderValue::from_static("a=b");
        let with_cookie = HeaderMap::from_iter([
            (
                header::REFERRER_POLICY,
                http::HeaderValue::from_static("origin"),
            ),
            (header::SET_COOKIE, cookie),
        ]);
        answers.saw("b", &with_cookie);
        assert_eq!(answers.count(), 3);
        let said = answers.differences().join("\n");
        assert!(
            said.contains("referrer-policy is missing (on every answer)"),
            "{said}"
        );
        assert!(
            said.contains("set-cookie must not be there (on b)"),
            "{said}"
        );
    }

    #[test]
    fn a_list_is_read_as_far_as_it_is_one() {
        let names = listed(b"00  a.js\n11  b c.js\nnonsense\n\n");
        assert_eq!(
            names.into_iter().collect::<Vec<_>>(),
            ["a.js", "b c.js", "nonsense"]
        );
    }
}

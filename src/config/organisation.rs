//! Section `guests.organisation`: who runs this, and in whose words the page speaks.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;

use super::{ConfigError, invalid};

/// The longest name, in characters.
const NAME: usize = 80;
/// The longest address, in bytes.
const URL: usize = 2000;
/// The longest text, in characters.
const TEXT: usize = 600;
/// The languages of the page, as in `web/src/text`.
const LANGUAGES: [&str; 6] = ["en", "de", "fr", "es", "pt", "ar"];
/// Which texts may be replaced, each with its English default. What says who can read, and what says
/// that something is wrong, is not among them.
const OVERRIDABLE: &str = include_str!("../../web/src/text/overridable.json");

/// Section `guests.organisation`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Organisation {
    /// Its name, as guests read it.
    pub name: Option<String>,
    /// Where its terms stand.
    pub terms_url: Option<String>,
    /// Texts of the page in its own words: language to key to text.
    pub texts: BTreeMap<String, BTreeMap<String, String>>,
}

/// The texts that may be replaced: key to English default.
type Catalogue = BTreeMap<String, String>;

impl Organisation {
    /// Whether all of it can be shown.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        // A test reads the same file, so that it can't be wrong here.
        let catalogue = serde_json::from_str(OVERRIDABLE).unwrap_or_default();
        self.validate_with(&catalogue)
    }

    fn validate_with(&self, catalogue: &Catalogue) -> Result<(), ConfigError> {
        if let Some(name) = &self.name {
            check_name(name).or_else(|problem| invalid("guests.organisation.name", &problem))?;
        }
        if let Some(url) = &self.terms_url {
            check_url(url).or_else(|problem| invalid("guests.organisation.terms_url", problem))?;
        }
        let checked = self.check_texts(catalogue);
        checked.or_else(|problem| invalid("guests.organisation.texts", &problem))
    }

    fn check_texts(&self, catalogue: &Catalogue) -> Result<(), String> {
        for (language, texts) in &self.texts {
            if !LANGUAGES.contains(&language.as_str()) {
                return Err(format!(
                    "“{}” is none of the page's languages: {}",
                    language.escape_debug(),
                    LANGUAGES.join(", ")
                ));
            }
            for (key, text) in texts {
                let wrong =
                    |problem: String| format!("“{}” ({language}) {problem}", key.escape_debug());
                let default = catalogue.get(key).ok_or_else(|| {
                    let known: Vec<&str> = catalogue.keys().map(String::as_str).collect();
                    let known = known.join(", ");
                    wrong(format!(
                        "is no text that can be replaced; those are: {known}"
                    ))
                })?;
                check_text(text, default).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// The bytes of `organisation.json`, as `docs/protocol.md` describes them.
    pub(crate) fn json(&self) -> Vec<u8> {
        let Self {
            name,
            terms_url,
            texts,
        } = self;
        let mut bytes = json!({ "name": name, "terms_url": terms_url, "texts": texts })
            .to_string()
            .into_bytes();
        bytes.push(b'\n');
        bytes
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    if !(1..=NAME).contains(&length) {
        return Err(format!("must have 1 to {NAME} characters, not {length}"));
    }
    if name.trim() != name {
        return Err("must not begin or end with a space".to_owned());
    }
    check_characters(name)
}

fn check_url(url: &str) -> Result<(), &'static str> {
    if url.len() > URL {
        return Err("must not be longer than 2000 characters");
    }
    let lower = url.to_ascii_lowercase();
    let absolute = lower.starts_with("https://") || lower.starts_with("http://");
    let parsed: Option<http::Uri> = url.parse().ok();
    let authority = parsed.as_ref().and_then(http::Uri::authority);
    match authority {
        _ if !absolute => Err("must begin with https:// (or http://)"),
        // A name before the host is there to be taken for the host.
        Some(authority) if authority.as_str().contains('@') => {
            Err("must not name a user before the host")
        }
        Some(authority) if !authority.host().is_empty() => Ok(()),
        _ => Err(
            "must be an address such as https://example.org/terms, other letters than those of English written as in \
             https://xn--bcher-kva.example/%C3%BC",
        ),
    }
}

fn check_text(text: &str, default: &str) -> Result<(), String> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > TEXT {
        return Err(format!(
            "must have 1 to {TEXT} characters that show something, not {length}"
        ));
    }
    check_characters(text)?;
    let expected = placeholders(default).unwrap_or_default();
    let found = placeholders(text).ok_or(
        "has a brace that belongs to no placeholder: they are written {like_this}, and nothing else has braces",
    )?;
    let listed = |names: &BTreeSet<&str>| {
        let names: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
        names.join(", ")
    };
    if found == expected {
        return Ok(());
    }
    Err(match expected.len() {
        0 => format!("has no placeholders, but here is {}", listed(&found)),
        _ if found.is_empty() => format!("needs {}", listed(&expected)),
        _ => format!(
            "needs {}, but here is {}",
            listed(&expected),
            listed(&found)
        ),
    })
}

/// The names between braces, or none when a brace stands alone.
fn placeholders(text: &str) -> Option<BTreeSet<&str>> {
    let mut names = BTreeSet::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if before.contains('}') || name.is_empty() || !name.chars().all(sound) {
            return None;
        }
        names.insert(name);
        rest = after;
    }
    (!rest.contains('}')).then_some(names)
}

/// What would turn or break a line, or show nothing, could make a text read as what it isn't.
fn check_characters(text: &str) -> Result<(), String> {
    // The joiners U+200C and U+200D stay: Persian, Indic scripts and some pictures need them.
    let found = text.chars().find(|c| {
        c.is_control()
            || matches!(
                c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}'
                    | '\u{e0000}'..='\u{10ffff}'
            )
    });
    found.map_or(Ok(()), |c| {
        Err(format!(
            "has a character that isn't seen or turns the direction (U+{:04X}); leave it out",
            u32::from(c)
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    fn catalogue() -> Catalogue {
        let texts = [
            ("a.plain", "Plain words."),
            ("a.filled", "{host} waits for {name}."),
        ];
        texts
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .into()
    }

    fn with_text(language: &str, key: &str, text: &str) -> Organisation {
        let texts = BTreeMap::from([(key.to_owned(), text.to_owned())]);
        Organisation {
            texts: BTreeMap::from([(language.to_owned(), texts)]),
            ..Organisation::default()
        }
    }

    fn problem(organisation: &Organisation) -> String {
        let checked = organisation.validate_with(&catalogue());
        checked.map_or_else(|error| error.to_string(), |()| String::new())
    }

    /// What the page names as replaceable can be replaced by itself.
    #[test]
    fn every_default_is_a_text_that_is_accepted() {
        let catalogue: Catalogue = serde_json::from_str(OVERRIDABLE).unwrap();
        assert!(!catalogue.is_empty());
        for (key, default) in &catalogue {
            assert!(placeholders(default).is_some(), "{key}: {default}");
            for language in LANGUAGES {
                let checked = with_text(language, key, default).validate();
                assert!(checked.is_ok(), "{key} {language}: {checked:?}");
            }
        }
    }

    #[test]
    fn names_that_can_be_shown_are_accepted() {
        let named = |name: &str| {
            problem(&Organisation {
                name: Some(name.to_owned()),
                ..Organisation::default()
            })
        };
        let longest = "ü".repeat(80);
        for name in [
            "Example Hospital",
            "Ä",
            "مستشفى المثال",
            "می‌خواهم",
            &longest,
        ] {
            assert_eq!(named(name), "", "{name}");
        }
        let too_long = "ü".repeat(81);
        for (name, part) in [
            ("", "1 to 80 characters, not 0"),
            (too_long.as_str(), "1 to 80 characters, not 81"),
            (" ", "a space"),
            ("Example ", "a space"),
            ("Exa\u{202e}mple", "U+202E"),
            ("Exa\u{2067}mple", "U+2067"),
            ("Exa\u{200f}mple", "U+200F"),
            ("Exa\u{200b}mple", "U+200B"),
            ("Exa\nmple", "U+000A"),
            ("Exa\0mple", "U+0000"),
            ("Exa\u{85}mple", "U+0085"),
            ("Exa\u{2028}mple", "U+2028"),
            ("Exa\u{e0041}mple", "U+E0041"),
        ] {
            let said = named(name);
            assert!(said.starts_with("guests.organisation.name: "), "{said}");
            assert!(said.contains(part), "{name:?}: {said}");
        }
    }

    #[test]
    fn addresses_lead_to_where_they_seem_to_lead() {
        let at = |url: &str| {
            problem(&Organisation {
                terms_url: Some(url.to_owned()),
                ..Organisation::default()
            })
        };
        for url in [
            "https://example.org/terms",
            "http://example.org",
            "HTTPS://example.org:8443/a?b=c#d",
            "https://[2001:db8::1]/",
        ] {
            assert_eq!(at(url), "", "{url}");
        }
        let long = format!("https://example.org/{}", "a".repeat(2000));
        for (url, part) in [
            ("", "https://"),
            ("/terms", "https://"),
            ("//example.org/terms", "https://"),
            ("example.org/terms", "https://"),
            ("javascript:alert(1)", "https://"),
            ("data:text/html,x", "https://"),
            (" https://example.org", "https://"),
            ("ftp://example.org", "https://"),
            ("https://", "an address such as"),
            ("https:///terms", "an address such as"),
            ("https://example.org/a b", "an address such as"),
            ("https://example.org/\u{202e}", "an address such as"),
            ("https://bücher.example/", "an address such as"),
            ("https://example.org@evil.example/", "a user"),
            ("https://a:b@evil.example/", "a user"),
            (&long, "2000"),
        ] {
            let said = at(url);
            assert!(said.contains(part), "{url}: {said}");
        }
    }

    #[test]
    fn texts_keep_their_placeholders() {
        for (key, text) in [
            ("a.plain", "Other words."),
            ("a.plain", "كلمات أخرى"),
            ("a.filled", "{name}, please wait for {host}."),
            ("a.filled", "{name}{host}{name}"),
        ] {
            assert_eq!(problem(&with_text("ar", key, text)), "", "{text}");
        }
        let long = "x".repeat(601);
        for (language, key, text, part) in [
            (
                "it",
                "a.plain",
                "Parole.",
                "“it” is none of the page's languages: en, de",
            ),
            ("EN", "a.plain", "Words.", "“EN” is none"),
            (
                "en",
                "a.other",
                "Words.",
                "“a.other” (en) is no text that can be replaced; those are: a.filled, a.plain",
            ),
            ("en", "__proto__", "Words.", "is no text"),
            ("en", "a.plain", "", "1 to 600"),
            ("en", "a.plain", " \u{3000}", "1 to 600"),
            ("en", "a.plain", &long, "not 601"),
            (
                "en",
                "a.plain",
                "{host}",
                "has no placeholders, but here is {host}",
            ),
            ("en", "a.filled", "Nobody.", "needs {host}, {name}"),
            (
                "en",
                "a.filled",
                "{host}",
                "needs {host}, {name}, but here is {host}",
            ),
            (
                "en",
                "a.filled",
                "{host} {name} {x}",
                "but here is {host}, {name}, {x}",
            ),
            ("en", "a.filled", "{host} {name", "a brace"),
            ("en", "a.filled", "{host} name}", "a brace"),
            ("en", "a.filled", "{host} {{name}}", "a brace"),
            ("en", "a.filled", "{host} {na me}", "a brace"),
            ("en", "a.plain", "a }{", "a brace"),
            ("en", "a.plain", "Wor\u{2066}ds", "U+2066"),
            ("en", "a.plain", "Two\nlines", "U+000A"),
        ] {
            let said = problem(&with_text(language, key, text));
            assert!(said.starts_with("guests.organisation.texts: "), "{said}");
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn what_the_page_reads_is_whole_without_any_of_it() {
        let nothing = Organisation::default();
        assert_eq!(
            nothing.json(),
            b"{\"name\":null,\"terms_url\":null,\"texts\":{}}\n"
        );
        let named = Organisation {
            name: Some("</script>\u{2028}\"".to_owned()),
            ..with_text("de", "a.plain", "Worte.")
        };
        let read: serde_json::Value = serde_json::from_slice(&named.json()).unwrap();
        assert_eq!(read["name"], "</script>\u{2028}\"");
        assert_eq!(read["texts"]["de"]["a.plain"], "Worte.");
    }
}

//! Whether a site serves the page of this program: what `vestibule verify-page` looks at.
//!
//! It sees what the site answers to it, now. A site that wants to can answer somebody else otherwise.

mod compare;
mod site;

use std::fmt;

use http::{HeaderMap, StatusCode};
use hyper::body::Bytes;
use serde_json::Value;

use crate::http::assets::{Asset, Assets, ENTRY, MANIFEST, ORGANISATION};
use compare::{Answers, listed};
use site::{Got, Packing};
pub use site::{Limits, Site, SiteError, Unread};

/// Below this path nothing is ever found, so its answer is an error of the bridge itself.
const NOWHERE: &str = "api/v1/link";

/// The program was built without its page, so it has nothing to compare with.
#[derive(Debug, thiserror::Error)]
#[error("this program was built without its page: run `cargo xtask page`, then build it again")]
pub struct NoPage;

/// What was found.
#[derive(Debug)]
pub struct Verdict {
    site: String,
    build: String,
    answers: usize,
    files: usize,
    differences: Vec<String>,
}

impl Verdict {
    /// Whether all of it is as it should be.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }

    /// Each thing that isn't, in plain words.
    #[must_use]
    pub fn differences(&self) -> &[String] {
        &self.differences
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            site,
            build,
            answers,
            files,
            differences,
        } = self;
        if differences.is_empty() {
            return write!(
                f,
                "{site} serves the page of this program, build {build}: {files} files, in all their bytes and headers \
                 ({answers} answers)."
            );
        }
        writeln!(
            f,
            "{site} is not as this program would serve it (build {build}; {answers} answers looked at):"
        )?;
        let lines: Vec<String> = differences
            .iter()
            .map(|words| format!("- {words}"))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Compares the site with the page: every file in both forms that a browser may ask for, the list of
/// files, and the headers of these and of an error.
pub async fn verify(site: &Site, page: &Assets) -> Result<Verdict, NoPage> {
    let (Some(entry), Some(list)) = (page.find(ENTRY), page.find(MANIFEST)) else {
        return Err(NoPage);
    };
    let build = page.build_id().unwrap_or_default().to_owned();
    let mut answers = Answers::new(site.headers());
    let reached = look(site, entry, "", Packing::Plain, &mut answers).await;
    if reached {
        look(site, entry, "", Packing::Brotli, &mut answers).await;
        look_at_list(site, list, &build, &mut answers).await;
        for file in page.files() {
            if file.path() != MANIFEST && file.path() != ORGANISATION {
                for packing in [Packing::Plain, Packing::Brotli] {
                    look(site, file, file.path(), packing, &mut answers).await;
                }
            }
        }
        look_at_organisation(site, &mut answers).await;
        look_at_error(site, &mut answers).await;
    }
    Ok(Verdict {
        site: site.base().to_owned(),
        build,
        answers: answers.count(),
        files: page
            .files()
            .filter(|file| file.path() != ORGANISATION)
            .count(),
        differences: answers.differences(),
    })
}

/// Fetches one file and notes what is wrong with it; whether there was an answer at all.
async fn look(
    site: &Site,
    file: &Asset,
    path: &str,
    packing: Packing,
    answers: &mut Answers,
) -> bool {
    let name = if path.is_empty() {
        "the page itself"
    } else {
        path
    };
    let form = match packing {
        Packing::Plain => "",
        Packing::Brotli => " (as browsers ask for it, compressed)",
    };
    let got = match site.get(path, packing, file.plain().len()).await {
        Ok(got) => got,
        Err(problem) => {
            answers.note(format!("{name}{form} {problem}"));
            return !matches!(
                problem,
                Unread::Failed(_) | Unread::Slow(_) | Unread::TimeIsUp
            );
        }
    };
    if got.status != StatusCode::OK {
        answers.note(format!("{name} {}", unexpected(got.status)));
        return true;
    }
    answers.saw(name, &got.headers);
    answers.expect(name, &got.headers, "content-type", file.content_type());
    answers.expect(name, &got.headers, "cache-control", file.kept());
    if got.body != *file.plain() {
        answers.note(format!("{name}{form} has other bytes than ours"));
    }
    true
}

/// What the site says it has: which build, and what there is too much.
async fn look_at_list(site: &Site, ours: &Asset, build: &str, answers: &mut Answers) {
    if !look(site, ours, MANIFEST, Packing::Brotli, answers).await {
        return;
    }
    let Ok(got) = site.get(MANIFEST, Packing::Plain, site.limits().list).await else {
        return;
    };
    if got.status != StatusCode::OK || got.body == *ours.plain() {
        return;
    }
    answers.note(format!(
        "the site names its build {}, this program is build {build}",
        compare::build_id(&got.body)
    ));
    let known = listed(ours.plain());
    for name in listed(&got.body).difference(&known) {
        answers.note(format!(
            "{MANIFEST} lists “{}”, which is none of our files",
            name.escape_debug()
        ));
    }
}

/// That file is the organisation's own: what stands in it can't be compared, but it must be of its shape.
async fn look_at_organisation(site: &Site, answers: &mut Answers) {
    let limit = site.limits().list;
    match site.get(ORGANISATION, Packing::Brotli, limit).await {
        Err(problem) => answers.note(format!("{ORGANISATION} {problem}")),
        Ok(got) if got.status != StatusCode::OK => {
            answers.note(format!("{ORGANISATION} {}", unexpected(got.status)));
        }
        Ok(Got { headers, body, .. }) => {
            answers.saw(ORGANISATION, &headers);
            answers.expect(ORGANISATION, &headers, "content-type", "application/json");
            answers.expect(ORGANISATION, &headers, "cache-control", "no-cache");
            if !is_organisation(&body) {
                answers.note(format!("{ORGANISATION} is not what the page expects there"));
            }
        }
    }
}

async fn look_at_error(site: &Site, answers: &mut Answers) {
    match site.get(NOWHERE, Packing::Plain, site.limits().list).await {
        Err(problem) => answers.note(format!("{NOWHERE} {problem}")),
        Ok(got) => {
            if got.status != StatusCode::NOT_FOUND {
                answers.note(format!(
                    "{NOWHERE}, where nothing can be fetched, is answered {}, not 404",
                    got.status.as_u16()
                ));
            }
            answers.saw(NOWHERE, &got.headers);
            answers.expect(NOWHERE, &got.headers, "cache-control", "no-store");
        }
    }
}

fn is_organisation(body: &Bytes) -> bool {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return false;
    };
    let text = |name| matches!(members.get(name), Some(Value::Null | Value::String(_)));
    text("name") && text("terms_url") && matches!(members.get("texts"), Some(Value::Object(_)))
}

fn unexpected(status: StatusCode) -> String {
    match status.as_u16() {
        404 => "is missing there".to_owned(),
        300..=399 => format!(
            "is not served but leads elsewhere (status {}), where nobody followed",
            status.as_u16()
        ),
        other => format!("is answered with status {other}, not 200"),
    }
}

/// The one value of a header, as text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| value.to_str().unwrap_or("something that is no text"))
        .collect()
}

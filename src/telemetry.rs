//! Logs and metrics. Neither ever holds a token, a key, a name or a text.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use vestibule_bridge::audit::AuditEntry;
use vestibule_bridge::id::UserId;

use crate::config::{LogFormat, Telemetry};

/// The log filter doesn't read.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.filter: {0}")]
pub struct FilterError(#[from] tracing_subscriber::filter::ParseError);

/// Starts logging to standard error. Once a process.
pub fn start_logging(section: &Telemetry) -> Result<(), FilterError> {
    let shown = EnvFilter::try_new(&section.filter)?.and(filter_fn(may_be_shown));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // Where a log can't be written, saying so would panic: both go to the same full disk.
        .log_internal_errors(false)
        .with_ansi(false);
    // Fails only when logging was started before, as tests in one process do.
    let _started_before = match section.format {
        LogFormat::Text => tracing_subscriber::registry()
            .with(lines.with_filter(shown))
            .try_init(),
        LogFormat::Json => tracing_subscriber::registry()
            .with(lines.json().with_filter(shown))
            .try_init(),
    };
    Ok(())
}

/// Whatever the filter asks for, libraries show nothing below `info`: tungstenite traces whole
/// frames and hyper whole headers, and names and tokens stand in them.
fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with("vestibule")
}

/// The audit trail as log lines, for whoever keeps logs elsewhere than in the bridge. They name hosts
/// and admins, which no other line does, so they have a target of their own: `audit=off` in the
/// filter leaves them out.
pub fn log_audit(entry: &AuditEntry) {
    let AuditEntry { id, by, act, to } = entry;
    tracing::info!(
        target: "audit",
        at_ms = id.at.0,
        entry = id.number,
        by = by.name(),
        admin = by.admin().map(UserId::as_str),
        act = act.name(),
        detail = act.detail(),
        host = to.host.as_ref().map(UserId::as_str),
        number = (to.number > 0).then_some(to.number),
        serial = (to.serial > 0).then_some(to.serial),
        portal = to.portal.map(tracing::field::display),
        "audit"
    );
}

/// Which way a message went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Direction {
    /// `host` or `guest`.
    pub from: &'static str,
}

/// One kind of homeserver call and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Call {
    /// The effect or request.
    pub call: &'static str,
    /// `ok`, `refused` or `failed`.
    pub result: &'static str,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Transactions that were answered 200.
    pub transactions: Counter,
    /// Transactions that could not be stored.
    pub failed_transactions: Counter,
    /// Messages that were committed, by direction.
    pub messages: Family<Direction, Counter>,
    /// Homeserver calls by kind and result.
    pub calls: Family<Call, Counter>,
    /// Links used by a guest.
    pub joins: Counter,
    /// Open sockets.
    pub sockets: Gauge<i64, AtomicI64>,
    /// Effects that wait or are being performed.
    pub outbox: Gauge<i64, AtomicI64>,
    /// Chats that are over, and of which the homeserver still has something.
    pub ending: Gauge<i64, AtomicI64>,
    /// For how many seconds it will be so; 0 too while that can't be told.
    pub ending_seconds: Gauge<i64, AtomicI64>,
    /// Chats of which a row doesn't read.
    pub set_aside: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Counts one homeserver call.
    pub fn call(&self, call: &'static str, result: &'static str) {
        self.calls.get_or_create(&Call { call, result }).inc();
    }

    /// Counts messages.
    pub fn messages(&self, from: &'static str, count: u64) {
        if count > 0 {
            self.messages
                .get_or_create(&Direction { from })
                .inc_by(count);
        }
    }

    /// All of it in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("vestibule");
        registry.register(
            "transactions",
            "Transactions stored and answered",
            self.transactions.clone(),
        );
        registry.register(
            "failed_transactions",
            "Transactions that could not be stored",
            self.failed_transactions.clone(),
        );
        registry.register(
            "messages",
            "Messages stored, by who wrote them",
            self.messages.clone(),
        );
        registry.register(
            "homeserver_calls",
            "Calls to the homeserver, by kind and result",
            self.calls.clone(),
        );
        registry.register("joins", "Links used by a guest", self.joins.clone());
        registry.register("open_sockets", "Browsers connected", self.sockets.clone());
        registry.register(
            "outbox",
            "Effects that wait or are being performed",
            self.outbox.clone(),
        );
        registry.register(
            "chats_being_ended",
            "Chats that are over, and of which the homeserver still has something",
            self.ending.clone(),
        );
        registry.register(
            "chats_being_ended_seconds",
            "How long that will take; 0 also while the homeserver doesn't answer",
            self.ending_seconds.clone(),
        );
        registry.register(
            "chats_set_aside",
            "Chats that can't go on because a row of theirs is damaged",
            self.set_aside.clone(),
        );
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing to a String doesn't fail; an empty page would be noticed by whoever scrapes.
            Err(_) => String::new(),
        }
    }
}

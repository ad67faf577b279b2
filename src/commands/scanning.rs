//! What `find`, `verify` and `sweep` share: a reader on a gate of its own, a walk over all pages, signals, progress.

use std::time::{Duration, Instant};

use url::Url;

use super::{note, tell};
use crate::cli::Service;
use crate::commands::console;
use crate::engine::dispatch::{Dispatch, Exchange};
use crate::engine::retry::RetryPolicy;
use crate::error::{Error, Exit};
use crate::graph::{Client, ClientConfig, Clocks, MOST_PARTS};
use crate::model::{Kind, ObjectKind, Reason, WallClock};
use crate::pace::{Bounds, Law, Pace};
use crate::report::{count, human, thousands};
use crate::scan::{Ended, Reader, Stopped, Walk};
use crate::session::{EmbeddedSimulator, Session};
use crate::stop::{Stop, Why};
use crate::sys::{Signal, Signals};

/// Reads a second: the smallest tenants give 350 resource units a second (`docs/graph.md#quotas`), others need some.
const READS_PER_SECOND: f64 = 200.0;
/// Requests under way at once.
const IN_FLIGHT: usize = 4 * MOST_PARTS;
/// Tries of one page or object.
const TRIES: u32 = 8;
/// Share of a delay that is random.
const JITTER: f64 = 0.5;
/// Without a terminal: one line a minute.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Reads of one collection of one tenant.
pub(super) struct Scanning {
    pub(super) reader: Reader<Client>,
    pub(super) stop: Stop,
    /// Graph root with version.
    base: Url,
    max_wait: Duration,
    clocks: Clocks,
    /// What to say when nothing may be read.
    refused: String,
    /// What to say when a property is left out.
    hidden: String,
    watch: tokio::task::JoinHandle<()>,
    /// Kept alive as long as it is read.
    simulator: Option<EmbeddedSimulator>,
}

impl Drop for Scanning {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Scanning {
    /// Signals stop it from now on.
    pub(super) fn new(
        connection: Session,
        service: &Service,
        kind: ObjectKind,
        mut signals: Signals,
    ) -> Result<Self, Error> {
        let refused = connection.missing_permission(kind, false);
        let hidden = connection.hidden_property(kind);
        let Session { root, http, tokens, simulator, .. } = connection;
        let Service { api_version, max_wait, .. } = service;
        let max_wait = *max_wait;
        let base = format!("{}/{api_version}", root.as_str().trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|error| Error::Internal(error.to_string()))?;
        let config = ClientConfig { root, version: api_version.clone(), kind, priority: "low" };
        let client = Client::new(&config, http, tokens, WallClock::System);
        let clocks = client.clocks();
        let stop = Stop::new();
        let policy = RetryPolicy { max_attempts: TRIES, jitter: JITTER, max_wait };
        let watch = tokio::spawn({
            let stop = stop.clone();
            async move {
                let why = match signals.next().await {
                    Signal::Interrupt => Why::Interrupted,
                    Signal::Terminate => Why::Terminated,
                };
                // Nothing is written to the tenant, so nothing is waited for.
                stop.abort(Some(why));
            }
        });
        let reader = Reader::new(reading(client, &stop), policy, stop.clone(), kind);
        Ok(Self { reader, stop, base, max_wait, clocks, refused, hidden, watch, simulator })
    }

    /// Whether the tenant is the embedded simulator's.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulator.is_some()
    }

    /// The clocks, as answers tell them.
    pub(super) fn clocks(&self) -> Clocks {
        self.clocks.clone()
    }

    /// The pages of the collection.
    pub(super) fn walk(&self) -> Walk<'_, Client> {
        Walk::new(&self.reader, self.base.clone())
    }

    /// Which permission may be missing where a property that was asked for is left out.
    pub(super) fn permission(&self) -> &str {
        &self.hidden
    }

    /// Why reading ended, as an error or an exit code.
    pub(super) fn ended(&self, stopped: Stopped, goes_on: &str) -> Result<Exit, Error> {
        match stopped {
            Stopped::Error(error) => Err(error),
            Stopped::Lost(why) => {
                Err(Error::Unavailable(format!("{why}. The same command starts again with the first page")))
            }
            Stopped::Ended(Ended::Stopped) => {
                let why = self.stop.reasons();
                for why in &why {
                    match why {
                        Why::SignIn(text) => return Err(Error::SignIn(text.clone())),
                        // No way to the service: the same command finds out whether it came back.
                        Why::Stalled(text) => return Err(Error::Unavailable(format!("{text}; {goes_on}"))),
                        _ => {}
                    }
                }
                tell(&format!("stopped; {goes_on}"));
                Ok(if why.contains(&Why::Terminated) { Exit::Terminated } else { Exit::Interrupted })
            }
            Stopped::Ended(Ended::Refused(attempt)) => Err(match attempt.kind {
                Kind::Refused(Reason::NoPermission) => Error::SignIn(self.refused.clone()),
                _ => Error::Unavailable(format!(
                    "Microsoft 365 rejects the read ({} {}): {}; {goes_on}",
                    attempt.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
                    attempt.code,
                    attempt.message
                )),
            }),
            Stopped::Ended(Ended::PutOff(attempt)) => Err(Error::Unavailable(format!(
                "Microsoft 365 asks for a pause of {}, longer than --max-wait {} ({} {}): {}; {goes_on}",
                human(attempt.retry_after.unwrap_or_default()),
                human(self.max_wait),
                attempt.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string()),
                attempt.code,
                attempt.message
            ))),
            Stopped::Ended(Ended::GaveUp(attempt)) => Err(Error::Unavailable(format!(
                "no answer after {TRIES} tries, the last one {} {}: {}; {goes_on}",
                attempt.status.map_or_else(|| "none".to_owned(), |status| status.to_string()),
                attempt.code,
                attempt.message
            ))),
        }
    }
}

/// Sends reads, at a rate of their own.
pub(super) fn reading<E: Exchange>(exchange: E, stop: &Stop) -> Dispatch<E> {
    let bounds = Bounds { rate: READS_PER_SECOND, in_flight: IN_FLIGHT, group: MOST_PARTS as u32 };
    let pace = Pace::new(Law::Fixed, bounds, Some(fastrand::Rng::new()));
    Dispatch::new(exchange, pace, stop.clone())
}

/// How far a scan is: a line on a terminal, a line a minute elsewhere.
pub(super) struct Watching {
    line: Instant,
    draws: bool,
}

impl Watching {
    pub(super) fn new() -> Self {
        Self { line: Instant::now(), draws: console().draws() }
    }

    /// So many objects were read, so many of them fit.
    pub(super) fn at(&mut self, kind: ObjectKind, read: u64, found: u64, what: &str) {
        let text = format!("{} read, {} {what}", count(read, kind.plural()), thousands(found));
        if self.draws {
            console().set_status_line(Some(&format!("  {text}")));
        } else if self.line.elapsed() >= LINE_EVERY {
            self.line = Instant::now();
            note(&text);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        console().set_status_line(None);
    }
}

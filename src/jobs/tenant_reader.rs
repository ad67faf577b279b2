//! Reading a tenant for `find`, `verify` and `sweep`: a rate of its own, all pages, signals, progress.

use std::time::{Duration, Instant};

use url::Url;

use crate::engine::dispatch::{Dispatch, Exchange};
use crate::engine::retry::RetryPolicy;
use crate::error::{Error, Exit};
use crate::graph::{Client, ClientConfig, Clocks, MOST_PARTS};
use crate::model::{Attempt, AttemptResult, ObjectKind, Reason, WallClock};
use crate::pace::{Bounds, Pace, RateController};
use crate::report::{count, human, thousands};
use crate::scan::{ReadEnd, Reader, Stopped, Walk};
use crate::session::Session;
use crate::stop::{Stop, StopReason};
use crate::sys::{Signal, Signals};
use crate::terminal::Console;

/// Reads a second: the smallest tenants give 350 resource units a second (`docs/graph.md#quotas`), others
/// need some.
const READS_PER_SECOND: f64 = 200.0;
/// Maximum number of requests in flight.
const IN_FLIGHT: usize = 4 * MOST_PARTS;
/// Attempts for one page or object.
const TRIES: u32 = 8;
/// Share of a delay that is random.
const JITTER: f64 = 0.5;
/// Without a terminal: one line a minute.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Reads of one collection of one tenant.
pub(crate) struct TenantReader {
    pub(crate) reader: Reader<Client>,
    pub(crate) stop: Stop,
    /// Graph root with version.
    base: Url,
    max_wait: Duration,
    clocks: Clocks,
    /// Advice if reading is forbidden.
    refused: String,
    /// Advice if a property is missing.
    hidden: String,
    watch: tokio::task::JoinHandle<()>,
    console: Console,
}

impl Drop for TenantReader {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl TenantReader {
    /// Signals stop it from now on.
    ///
    /// # Errors
    /// `Error::Network` if no client can be built; `Error::Internal`.
    pub(crate) fn new(
        session: &Session,
        kind: ObjectKind,
        mut signals: Signals,
        console: &Console,
    ) -> Result<Self, Error> {
        let (version, max_wait) = (session.api_version.clone(), session.max_wait);
        let base = format!("{}/{version}", session.root.as_str().trim_end_matches('/'));
        let base = Url::parse(&base).map_err(|error| Error::Internal(error.to_string()))?;
        let config = ClientConfig { root: session.root.clone(), version, kind, priority: "low" };
        let client = Client::new(&config, session.connections(1)?, session.tokens.clone(), WallClock::System);
        let clocks = client.clocks();
        let stop = Stop::new();
        let policy = RetryPolicy { max_attempts: TRIES, jitter: JITTER, max_wait };
        let watch = tokio::spawn({
            let stop = stop.clone();
            async move {
                let why = match signals.next().await {
                    Signal::Interrupt => StopReason::Interrupted,
                    Signal::Terminate => StopReason::Terminated,
                };
                // Nothing is written to the tenant, so nothing is waited for.
                stop.abort(Some(why));
            }
        });
        let reader = Reader::new(reading(client, &stop), policy, stop.clone(), kind);
        Ok(Self {
            reader,
            stop,
            base,
            max_wait,
            clocks,
            refused: session.missing_permission(kind, false),
            hidden: session.hidden_property(kind),
            watch,
            console: console.clone(),
        })
    }

    /// The clock skew, derived from responses.
    pub(crate) fn clocks(&self) -> Clocks {
        self.clocks.clone()
    }

    /// The pages of the collection.
    pub(crate) fn walk(&self) -> Walk<'_, Client> {
        Walk::new(&self.reader, self.base.clone())
    }

    /// The permission that may be missing if a requested property is absent.
    pub(crate) fn permission(&self) -> &str {
        &self.hidden
    }

    /// Why reading ended, as an error or an exit code.
    pub(crate) fn ended(&self, stopped: Stopped, goes_on: &str) -> Result<Exit, Error> {
        match stopped {
            Stopped::Error(error) => Err(error),
            Stopped::Lost(why) => {
                Err(Error::Unavailable(format!("{why}. The same command starts again with the first page")))
            }
            Stopped::Ended(ReadEnd::Stopped) => {
                let why = self.stop.reasons();
                for why in &why {
                    match why {
                        StopReason::SignIn(text) => return Err(Error::SignIn(text.clone())),
                        // No way to the service: the same command finds out whether it came back.
                        StopReason::Stalled(text) => {
                            return Err(Error::Unavailable(format!("{text}; {goes_on}")));
                        }
                        _ => {}
                    }
                }
                self.console.status(&format!("stopped; {goes_on}"));
                Ok(if why.contains(&StopReason::Terminated) { Exit::Terminated } else { Exit::Interrupted })
            }
            Stopped::Ended(ReadEnd::Refused(attempt)) => Err(match attempt.kind {
                AttemptResult::Rejected(Reason::NoPermission) => Error::SignIn(self.refused.clone()),
                _ => Error::Unavailable(format!(
                    "Microsoft 365 rejects the read ({}): {}; {goes_on}",
                    status_and_code(&attempt),
                    attempt.message
                )),
            }),
            Stopped::Ended(ReadEnd::PutOff(attempt)) => Err(Error::Unavailable(format!(
                "Microsoft 365 asks for a pause of {}, longer than --max-wait {} ({}): {}; {goes_on}",
                human(attempt.retry_after.unwrap_or_default()),
                human(self.max_wait),
                status_and_code(&attempt),
                attempt.message
            ))),
            Stopped::Ended(ReadEnd::GaveUp(attempt)) => Err(Error::Unavailable(format!(
                "no answer after {TRIES} tries, the last one {}: {}; {goes_on}",
                status_and_code(&attempt),
                attempt.message
            ))),
        }
    }
}

/// The status of an attempt, and the error code if there is one.
fn status_and_code(attempt: &Attempt) -> String {
    let status = attempt.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    format!("{status} {}", attempt.code).trim_end().to_owned()
}

/// Sends reads, at a rate of their own.
pub(crate) fn reading<E: Exchange>(exchange: E, stop: &Stop) -> Dispatch<E> {
    let bounds = Bounds { rate: READS_PER_SECOND, in_flight: IN_FLIGHT, group: MOST_PARTS as u32 };
    let pace = Pace::new(RateController::Fixed, bounds, Some(fastrand::Rng::new()));
    Dispatch::new(exchange, pace, stop.clone())
}

/// The progress of a scan: one updated line on a terminal, otherwise a line each minute.
pub(crate) struct ScanProgress {
    console: Console,
    line: Instant,
}

impl ScanProgress {
    pub(crate) fn new(console: &Console) -> Self {
        Self { console: console.clone(), line: Instant::now() }
    }

    /// Records the number of objects that were read, and of those that match.
    pub(crate) fn at(&mut self, kind: ObjectKind, read: u64, found: u64, what: &str) {
        let text = format!("{} read, {} {what}", count(read, kind.plural()), thousands(found));
        if self.console.draws() {
            self.console.set_status_line(Some(&format!("  {text}")));
        } else if self.line.elapsed() >= LINE_EVERY {
            self.line = Instant::now();
            self.console.note(&text);
        }
    }
}

impl Drop for ScanProgress {
    fn drop(&mut self) {
        self.console.set_status_line(None);
    }
}

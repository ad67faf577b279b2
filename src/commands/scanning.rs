//! What `find`, `verify` and `sweep` share: a reader on a gate of its own, a walk over all pages, signals, progress.

use std::collections::HashSet;
use std::hash::Hasher;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use siphasher::sip::SipHasher13;
use url::Url;

use super::{note, tell};
use crate::cli::Service;
use crate::commands::console;
use crate::engine::dispatch::Dispatch;
use crate::engine::retry::RetryPolicy;
use crate::error::{Error, Exit};
use crate::graph::{Client, ClientConfig, Clocks, MOST_PARTS};
use crate::model::{Kind, ObjectKind, Reason, WallClock};
use crate::pace::{Bounds, Law, Pace};
use crate::report::{count, human, thousands};
use crate::scan::{Ended, Page, Reader, page_path};
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
/// Pages in a row without an object that are followed: a service may show some, but not for ever.
const MOST_EMPTY: u64 = 1_000;
/// Without a terminal: one line a minute.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Reads of one collection of one tenant.
pub(super) struct Scanning {
    pub(super) reader: Reader<Client>,
    pub(super) stop: Stop,
    first: Url,
    max_wait: Duration,
    clocks: Clocks,
    /// What to say when nothing may be read.
    refused: String,
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
        let Session { root, http, tokens, simulator, .. } = connection;
        let Service { api_version, max_wait, .. } = service;
        let max_wait = *max_wait;
        let base = root.as_str().trim_end_matches('/');
        let first = format!("{base}/{api_version}{}", page_path(kind));
        let first = Url::parse(&first).map_err(|error| Error::Internal(error.to_string()))?;
        let config = ClientConfig { root, version: api_version.clone(), kind, priority: "low" };
        let client = Client::new(&config, http, tokens, WallClock::System);
        let clocks = client.clocks();
        let bounds = Bounds { rate: READS_PER_SECOND, in_flight: IN_FLIGHT, group: MOST_PARTS as u32 };
        let pace = Pace::new(Law::Fixed, bounds, Some(fastrand::Rng::new()));
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
        let reader = Reader::new(Dispatch::new(client, pace, stop.clone()), policy, stop.clone(), kind);
        Ok(Self { reader, stop, first, max_wait, clocks, refused, watch, simulator })
    }

    /// Whether the tenant is the embedded simulator's.
    pub(super) fn is_simulated(&self) -> bool {
        self.simulator.is_some()
    }

    /// The clocks, as answers tell them.
    pub(super) fn clocks(&self) -> Clocks {
        self.clocks.clone()
    }

    /// The first page.
    pub(super) fn first(&self) -> &Url {
        &self.first
    }

    /// Every page from `url` on, which is page `number` (from 1): handed on with its number, the service's time, and
    /// where the next one is. `each` may end the walk with `false`.
    pub(super) async fn walk(
        &self,
        mut url: Url,
        mut number: u64,
        mut each: impl FnMut(u64, Page, Timestamp) -> Result<bool, Error>,
    ) -> Result<(), Stopped> {
        let mut way = Way::default();
        loop {
            let (page, date) = self.reader.page(number, &url).await?;
            let next = page.next.clone();
            way.leads_on(number, &url, page.objects.is_empty()).map_err(Stopped::Error)?;
            let on = each(number, page, date.unwrap_or_else(Timestamp::now)).map_err(Stopped::Error)?;
            let Some(next) = next.filter(|_| on) else { return Ok(()) };
            url = Url::parse(&next).map_err(|error| {
                Stopped::Error(Error::Unavailable(format!(
                    "the service names a next page that is no URL ({error}); nothing after page {number} was read"
                )))
            })?;
            number += 1;
        }
    }

    /// Why reading ended, as an error or an exit code.
    pub(super) fn ended(&self, stopped: Stopped, goes_on: &str) -> Result<Exit, Error> {
        match stopped {
            Stopped::Error(error) => Err(error),
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
                    "Microsoft 365 refuses the read ({} {}): {}; {goes_on}",
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

/// The pages of a walk so far: a service that leads round in circles, or on and on through nothing, is followed no longer.
#[derive(Default)]
struct Way {
    /// Hashes of the links: 8 bytes for some thousand objects.
    seen: HashSet<u64>,
    empty: u64,
}

impl Way {
    /// A page was read.
    fn leads_on(&mut self, number: u64, url: &Url, is_empty: bool) -> Result<(), Error> {
        let mut hasher = SipHasher13::new();
        hasher.write(url.as_str().as_bytes());
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        let wrong = match (self.seen.insert(hasher.finish()), self.empty < MOST_EMPTY) {
            (false, _) => "leads back to a page that was read before".to_owned(),
            (true, false) => format!("shows {MOST_EMPTY} pages in a row without anybody on them"),
            (true, true) => return Ok(()),
        };
        Err(Error::Unavailable(format!(
            "the service {wrong}: it was read no further than page {number}, and nothing is made of it; try again later"
        )))
    }
}

/// Why a walk did not reach its end.
pub(super) enum Stopped {
    Ended(Ended),
    Error(Error),
}

impl From<Ended> for Stopped {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u64) -> Url {
        Url::parse(&format!("https://h/users?$skiptoken={number}")).expect("a URL")
    }

    #[test]
    fn a_service_that_leads_nowhere_is_not_followed_for_ever() {
        let mut circle = Way::default();
        assert!((1..=3).all(|number| circle.leads_on(number, &link(number), false).is_ok()));
        let said = circle.leads_on(4, &link(2), false).expect_err("read before").chain();
        assert!(said.contains("leads back to a page") && said.contains("page 4"), "{said}");
        let mut desert = Way::default();
        assert!((1..MOST_EMPTY).all(|number| desert.leads_on(number, &link(number), true).is_ok()));
        assert!(desert.leads_on(0, &link(0), false).is_ok(), "somebody at last");
        assert!((1..MOST_EMPTY).all(|number| desert.leads_on(0, &link(MOST_EMPTY + number), true).is_ok()));
        assert!(desert.leads_on(0, &link(u64::MAX), true).is_err());
    }
}

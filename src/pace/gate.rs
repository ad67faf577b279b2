//! The gate: admits requests in order of arrival and receives the result of every attempt.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::adaptive::LearnedRate;
use super::controller::{QuotaSignal, RateController};
use super::cooldown::{Cooldowns, RunningCooldown};
use super::outage::Outage;
use super::rate_limit::{FASTEST, RateLimitBucket};
use super::unannounced::Unannounced;
use crate::model::{Attempt, AttemptResult, Scope, Throttle, TransientFailure};

/// The pace of one app in one tenant, shared by all its workers.
#[derive(Debug)]
pub struct Pace {
    /// Serves requests in order of arrival. Only its holder waits for `moved`; all others wait for it.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<PaceState>,
    /// Wakes the holder of `turn` after a change of the state.
    moved: Notify,
}

/// The state behind the lock. Instants are passed in, except those of the rate limit.
#[derive(Debug)]
pub(super) struct PaceState {
    pub(super) controller: RateController,
    rate_limit: RateLimitBucket,
    pub(super) cooldowns: Cooldowns,
    outage: Outage,
    unannounced: Unannounced,
    /// The controller before a limit without a wait. It is restored if the limit proves to be an outage.
    before_limit: Option<RateController>,
    probe_out: bool,
    /// Parts of tickets that are not settled or dropped yet.
    pub(super) in_flight: usize,
    most_in_flight: usize,
    last_sent: Option<Instant>,
    last_answer: Instant,
    stats: ThrottleStats,
    shut_since: Option<Instant>,
    usage: Option<Usage>,
}

/// How often and how long the service throttled the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThrottleStats {
    /// Throttled requests by scope ([`Scope::index`]).
    pub throttled: [u64; 3],
    /// Longest single pause.
    pub longest: Duration,
    /// Number of pauses, each from the first throttled request to the next served one.
    pub pauses: u64,
    /// Total length of the pauses. A pause that is not over counts up to now.
    pub waited: Duration,
    /// The learned rate of the service in writes per second, if it is known.
    pub rate: Option<f64>,
    /// Share of this rate that was used since the first throttled request, 0 to 1. `None` if the run was not throttled, if the rate
    /// is not known, or if the list ended before the refill of a pause could be used.
    pub used: Option<f64>,
}

/// The use of the quota since the first throttled request.
#[derive(Clone, Copy, Debug)]
struct Usage {
    since: Instant,
    served: u64,
    /// Beginning of the last pause, writes served before it, and total length of the pauses before it.
    last_pause: (Instant, u64, Duration),
}

impl Usage {
    fn begin(now: Instant) -> Self {
        Self { since: now, served: 0, last_pause: (now, 0, Duration::ZERO) }
    }

    /// The share of `rate` writes per second that was used until `last_answer`. `waited` is the total length of the pauses. The
    /// time since the last pause began counts only if enough users were left to use its refill. Otherwise the share would depend
    /// on the length of the list.
    fn share(&self, rate: f64, waited: Duration, last_answer: Instant) -> Option<f64> {
        let (paused_at, served_before, waited_before) = self.last_pause;
        let given = rate * waited.saturating_sub(waited_before).as_secs_f64();
        let (served, until) = match (self.served - served_before) as f64 >= given {
            true => (self.served, last_answer),
            false => (served_before, paused_at),
        };
        let seconds = until.saturating_duration_since(self.since).as_secs_f64();
        (seconds > 0.0).then(|| (served as f64 / (rate * seconds).max(1.0)).min(1.0))
    }
}

/// Whether requests are sent at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SendState {
    /// Sending is allowed.
    Open,
    /// The service asked for a pause.
    CoolDown(RunningCooldown),
    /// The service does not answer. One probe at a time is sent.
    Outage {
        /// When the outage was recognized.
        since: Instant,
        /// When the next probe is sent.
        next_probe: Instant,
    },
}

/// Upper limits of the pace, whatever the rate controller allows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum number of writes per second, 0.01 to 1,000,000: `--rate`.
    pub rate: f64,
    /// Maximum number of parts in flight: `--concurrency`.
    pub in_flight: usize,
    /// Maximum number of parts of one ticket: `--batch`. They are sent together, and the next ticket waits for all of them.
    pub group: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rate: FASTEST, in_flight: usize::MAX, group: 1 }
    }
}

/// The permission to send up to [`Ticket::parts`] writes now. Dropping it frees the places of the parts that were not settled.
#[derive(Debug)]
pub struct Ticket {
    pace: Arc<Pace>,
    probe: bool,
    sent: Instant,
    parts: u32,
    unsettled: u32,
}

/// The parts of a ticket while they are settled. Nothing is sent meanwhile.
#[derive(Debug)]
pub struct Settlement<'a> {
    state: MutexGuard<'a, PaceState>,
    moved: &'a Notify,
    ticket: &'a mut Ticket,
    now: Instant,
}

/// What the pace found out about an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptFeedback {
    /// The streak of failures that a transient attempt belongs to.
    pub streak: Option<u64>,
    /// Set if a limit without a wait throttled the attempt. The attempt then does not count for its user.
    pub limit: Option<Throttle>,
}

impl AttemptFeedback {
    /// Marks the attempt as throttled if a limit without a wait was the cause.
    pub fn apply_to(&self, attempt: &mut Attempt) {
        if let Some(limit) = self.limit {
            attempt.kind = AttemptResult::Throttled(limit);
        }
    }
}

impl Pace {
    /// `random` delays the probes of several processes differently; `None` is exact.
    pub fn new(controller: RateController, bounds: Bounds, random: Option<fastrand::Rng>) -> Arc<Self> {
        Arc::new(Self {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(PaceState::new(controller, bounds, random)),
            moved: Notify::new(),
        })
    }

    /// Restores a cool-down that was active when the last invocation ended.
    pub fn restore(&self, scope: Scope, remaining: Duration) {
        self.state().cooldowns.restore(scope, remaining, Instant::now());
    }

    /// Waits in order of arrival until sending is allowed, then returns a ticket for at most `parts` writes: fewer if fewer are
    /// allowed, exactly one for a probe. Call again for the remainder. Nothing is awaited between the last check of the
    /// cool-downs and the return.
    pub async fn admit(self: &Arc<Self>, parts: u32) -> Ticket {
        let _turn = self.turn.lock().await;
        loop {
            let now = Instant::now();
            let until = match self.state().admit(parts, now) {
                Ok((parts, probe)) => {
                    return Ticket { pace: self.clone(), probe, sent: now, parts, unsettled: parts };
                }
                Err(until) => until,
            };
            match until {
                Some(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.moved.notified() => {}
                },
                None => self.moved.notified().await,
            }
        }
    }

    /// Records the result of an attempt. Call it once for each part of the ticket.
    pub fn settle(&self, ticket: &mut Ticket, row: u64, attempt: &Attempt) -> AttemptFeedback {
        self.settling(ticket).part(row, attempt)
    }

    /// Records the results of several parts that were answered together, under one lock and with one wake-up.
    pub fn settling<'a>(&'a self, ticket: &'a mut Ticket) -> Settlement<'a> {
        Settlement { state: self.state(), moved: &self.moved, ticket, now: Instant::now() }
    }

    /// Whether a streak was an outage. Its attempts do not count for any user.
    pub fn was_outage(&self, streak: u64) -> bool {
        self.state().outage.was_outage(streak)
    }

    /// Records a wait that the service asked for one user. `--max-stall` does not count it.
    pub fn user_waits(&self, wait: Duration) {
        self.state().cooldowns.announce(wait, Instant::now());
    }

    /// Whether requests are sent at the moment, for the display.
    pub fn send_state(&self) -> SendState {
        let (state, now) = (self.state(), Instant::now());
        match (state.cooldowns.running(now), state.outage.paused()) {
            (Some(cooling), None) => SendState::CoolDown(cooling),
            (Some(cooling), Some(_)) if cooling.announced => SendState::CoolDown(cooling),
            (_, Some(pause)) => SendState::Outage { since: pause.since, next_probe: pause.next_probe },
            (None, None) => SendState::Open,
        }
    }

    /// Parts that were sent and are not settled.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// The cool-downs whose time is not over, for `state.json`.
    pub fn cooling(&self) -> Vec<RunningCooldown> {
        let now = Instant::now();
        self.state().cooldowns.all().filter(|cooling| cooling.until > now).collect()
    }

    /// Time since the last final response, without the longest announced pause since then.
    pub fn silent_for(&self) -> Duration {
        let state = self.state();
        state.last_answer.elapsed().saturating_sub(state.cooldowns.longest_announced)
    }

    /// What a later invocation starts from, and when the last write was sent. `None` if the rate is fixed.
    pub fn learned(&self) -> Option<(LearnedRate, Option<Instant>)> {
        let state = self.state();
        state.controller.learned().map(|learned| (learned, state.last_sent))
    }

    /// Present pace in writes per second, above zero. Pauses are not considered.
    pub fn rate(&self) -> f64 {
        let state = self.state();
        let rate_limit = state.rate_limit.rate();
        state.controller.rate(Instant::now()).map_or(rate_limit, |rate| rate.min(rate_limit))
    }

    /// How often and how long the service has throttled the run so far.
    pub fn throttle_stats(&self) -> ThrottleStats {
        let state = self.state();
        // A pause that is not over counts up to now.
        let pause =
            state.shut_since.map_or(Duration::ZERO, |since| Instant::now().saturating_duration_since(since));
        let rate = state.controller.learned().and_then(|learned| learned.rate);
        let waited = state.stats.waited + pause;
        let used =
            rate.zip(state.usage).and_then(|(rate, usage)| usage.share(rate, waited, state.last_answer));
        ThrottleStats { rate, used, waited, ..state.stats.clone() }
    }

    fn state(&self) -> MutexGuard<'_, PaceState> {
        // Code that holds the lock cannot panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settlement<'_> {
    /// Records the result of one part of the ticket.
    pub fn part(&mut self, row: u64, attempt: &Attempt) -> AttemptFeedback {
        let freed = self.ticket.unsettled.min(1);
        self.ticket.unsettled -= freed;
        self.state.free(freed, self.ticket.probe);
        self.state.settle(self.ticket.sent, row, attempt, self.now)
    }
}

impl Drop for Settlement<'_> {
    fn drop(&mut self) {
        self.moved.notify_one();
    }
}

impl PaceState {
    pub(super) fn new(mut controller: RateController, bounds: Bounds, random: Option<fastrand::Rng>) -> Self {
        controller.bound(bounds.rate);
        Self {
            controller,
            rate_limit: RateLimitBucket::new(bounds.rate, bounds.group),
            cooldowns: Cooldowns::new(random),
            outage: Outage::default(),
            unannounced: Unannounced::default(),
            before_limit: None,
            probe_out: false,
            in_flight: 0,
            most_in_flight: bounds.in_flight.max(1),
            last_sent: None,
            last_answer: Instant::now(),
            stats: ThrottleStats::default(),
            shut_since: None,
            usage: None,
        }
    }

    /// Admits up to `parts` parts. Returns their number and whether it is a probe.
    ///
    /// # Errors
    /// When to ask again; `None` means after the next change of the state.
    pub(super) fn admit(&mut self, parts: u32, now: Instant) -> Result<(u32, bool), Option<Instant>> {
        if let Some(cooling) = self.cooldowns.running(now) {
            return Err(Some(cooling.until));
        }
        let pause = self.outage.paused();
        let probe = self.cooldowns.is_shut() || pause.is_some();
        if probe && self.probe_out {
            return Err(None);
        }
        if let Some(pause) = pause.filter(|pause| pause.next_probe > now) {
            return Err(Some(pause.next_probe));
        }
        let room = self.most_in_flight.min(self.controller.in_flight()).saturating_sub(self.in_flight);
        let most = if probe { 1 } else { parts.clamp(1, self.rate_limit.group()) };
        let parts = most.min(u32::try_from(room).unwrap_or(u32::MAX));
        let Some(parts) = NonZeroU32::new(parts) else { return Err(None) };
        let next = self.controller.next_send(now);
        if next > now {
            return Err(Some(next));
        }
        self.rate_limit.take(parts).map_err(|wait| Some(now + wait))?;
        for _ in 0..parts.get() {
            self.controller.on_sent(now);
        }
        self.in_flight += parts.get() as usize;
        self.last_sent = Some(now);
        if probe {
            self.probe_out = true;
            self.outage.probed(now);
        }
        Ok((parts.get(), probe))
    }

    pub(super) fn free(&mut self, parts: u32, probe: bool) {
        self.in_flight = self.in_flight.saturating_sub(parts as usize);
        self.probe_out &= !probe;
    }

    pub(super) fn settle(
        &mut self,
        sent: Instant,
        row: u64,
        attempt: &Attempt,
        now: Instant,
    ) -> AttemptFeedback {
        let is_limit = self.unannounced.is_limit(row, &attempt.kind);
        let streak = match &attempt.kind {
            // Nothing failed. The request is sent again in another version of HTTP.
            AttemptResult::Transient(TransientFailure::Http2Refused) => None,
            AttemptResult::Transient(_) => Some(self.outage.failed(row, now)),
            _ => None,
        };
        let is_outage = self.outage.paused().is_some();
        if is_outage && let Some(controller) = self.before_limit.take() {
            self.controller = controller;
        }
        let unannounced = |quota| is_limit.then(|| Throttle { scope: Scope::default(), quota });
        let limit = match &attempt.kind {
            // An outage has its own rule.
            AttemptResult::Transient(_) if !is_outage => unannounced(true),
            // Conflicts with another writer do not depend on the rate.
            AttemptResult::Busy => unannounced(false),
            _ => None,
        };
        let throttle = match (&attempt.kind, limit) {
            (AttemptResult::Throttled(throttle), _) => Some((*throttle, attempt.retry_after)),
            (_, limit) => limit.map(|throttle| (throttle, None)),
        };
        if limit.is_some_and(|throttle| throttle.quota) {
            self.before_limit.get_or_insert_with(|| self.controller.clone());
        }
        let signal = match (throttle, &attempt.kind) {
            (Some((throttle, _)), _) if throttle.quota => QuotaSignal::Throttled,
            (None, AttemptResult::Accepted | AttemptResult::Rejected(_) | AttemptResult::Busy) => {
                QuotaSignal::Served
            }
            _ => QuotaSignal::Unrelated,
        };
        self.controller.on_attempt(signal, attempt.throttle_percentage, sent, now);
        match (throttle, &attempt.kind) {
            (Some((throttle, wait)), _) => self.throttled(throttle.scope, wait, sent, now),
            (None, AttemptResult::Accepted | AttemptResult::Rejected(_)) => {
                self.served(sent, row, now);
                self.last_answer = now;
                self.cooldowns.answered(now);
            }
            (None, AttemptResult::Busy) => self.served(sent, row, now),
            // The result does not depend on a limit. The next probe may be sent.
            _ => {}
        }
        AttemptFeedback { streak: streak.filter(|_| limit.is_none()), limit }
    }

    fn throttled(&mut self, scope: Scope, wait: Option<Duration>, sent: Instant, now: Instant) {
        let usage = self.usage.get_or_insert_with(|| Usage::begin(now));
        if self.shut_since.is_none() {
            self.shut_since = Some(now);
            self.stats.pauses += 1;
            usage.last_pause = (now, usage.served, self.stats.waited);
        }
        self.cooldowns.throttled(scope, wait, sent, now);
        self.stats.throttled[scope.index()] += 1;
        if let Some(cooling) = self.cooldowns.running(now) {
            self.stats.longest = self.stats.longest.max(cooling.length);
        }
    }

    fn served(&mut self, sent: Instant, row: u64, now: Instant) {
        self.outage.answered(row);
        self.before_limit = None;
        let shut = self.cooldowns.is_shut();
        self.cooldowns.served(sent);
        if let Some(usage) = &mut self.usage {
            usage.served += 1;
        }
        if shut && !self.cooldowns.is_shut() {
            if let Some(since) = self.shut_since.take() {
                self.stats.waited += now - since;
            }
            self.controller.on_reopened(now);
        }
    }
}

impl Ticket {
    /// Number of writes that may be sent with this ticket, from 1.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// Whether no cool-down or outage began since the ticket was given. Checked once more after the token was fetched.
    pub fn still_open(&self) -> bool {
        let state = self.pace.state();
        let shut = state.cooldowns.is_shut() || state.outage.paused().is_some();
        state.cooldowns.running(Instant::now()).is_none() && (self.probe || !shut)
    }

    /// Sets the instant of sending to now.
    pub fn mark_sent(&mut self) {
        self.sent = Instant::now();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.unsettled > 0 {
            self.pace.state().free(self.unsettled, self.probe);
            self.pace.moved.notify_one();
        }
    }
}

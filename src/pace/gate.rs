//! The gate: decides under one fair lock when the next request may be sent, from the results of all attempts.

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

/// The pacing of one app in one tenant, shared by all workers.
#[derive(Debug)]
pub struct Pace {
    /// Lock that is granted in order of arrival. Its holder is the only waiting task that is awake.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<PaceState>,
    /// Wakes the holder of `turn` when the state has changed.
    changed: Notify,
}

/// The state that the lock guards. Instants are passed in, except to the fixed rate limit.
#[derive(Debug)]
pub(super) struct PaceState {
    pub(super) controller: RateController,
    rate_limit: RateLimitBucket,
    pub(super) cooldowns: Cooldowns,
    outage: Outage,
    unannounced: Unannounced,
    /// Copy of the controller from before an unannounced limit. It is restored if the limit turns out to be
    /// an outage.
    before_limit: Option<RateController>,
    /// Whether a probe is in flight.
    probe_in_flight: bool,
    /// Parts of tickets that are neither settled nor dropped.
    pub(super) in_flight: usize,
    max_in_flight: usize,
    last_sent: Option<Instant>,
    last_answer: Instant,
    stats: ThrottleStats,
    /// When the present pause began.
    paused_since: Option<Instant>,
    usage: Option<Usage>,
}

/// Throttling of a run: how often requests were throttled, and how long the service paused the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThrottleStats {
    /// Throttled requests of each scope, by [`Scope::index`].
    pub throttled: [u64; 3],
    /// Longest single pause.
    pub longest: Duration,
    /// Pauses, each from the first throttled response to the next served probe.
    pub pauses: u64,
    /// Total length of the pauses, including the elapsed part of the present one.
    pub waited: Duration,
    /// Learned rate of the service, in writes per second.
    pub rate: Option<f64>,
    /// Share of the rate that was used since the first throttled response, 0 to 1. It is `None` if no request
    /// was throttled or the rate is unknown. It is also `None` if the list ended before the quota of a pause
    /// could be used.
    pub used: Option<f64>,
}

/// Use of the quota since the first throttled response.
#[derive(Clone, Copy, Debug)]
struct Usage {
    since: Instant,
    served: u64,
    /// The start of the last pause, the requests served before it, and the length of all earlier pauses.
    last_pause: (Instant, u64, Duration),
}

impl Usage {
    fn begin(now: Instant) -> Self {
        Self { since: now, served: 0, last_pause: (now, 0, Duration::ZERO) }
    }

    /// Returns the share of `rate` writes per second that was used until `last_answer`. `paused` is the
    /// length of all pauses. The time since the last pause began counts only if enough users remained to use
    /// what it gave back. Otherwise the share would depend on the length of the list.
    fn share(&self, rate: f64, paused: Duration, last_answer: Instant) -> Option<f64> {
        let (paused_at, served_before, paused_before) = self.last_pause;
        let given_back = rate * paused.saturating_sub(paused_before).as_secs_f64();
        let (served, until) = match (self.served - served_before) as f64 >= given_back {
            true => (self.served, last_answer),
            false => (served_before, paused_at),
        };
        let seconds = until.saturating_duration_since(self.since).as_secs_f64();
        (seconds > 0.0).then(|| (served as f64 / (rate * seconds).max(1.0)).min(1.0))
    }
}

/// Whether requests are sent at the moment, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SendState {
    /// Sending is allowed.
    Open,
    /// The run is paused because the service asked for it, or because of a limit without an announced pause.
    CoolDown(RunningCooldown),
    /// Many users failed in a row: only probes are sent.
    Outage {
        /// When the outage began.
        since: Instant,
        /// When the next probe is sent.
        next_probe: Instant,
    },
}

/// Upper bounds that hold whatever the rate controller decides.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Writes per second, 0.01 to 1,000,000: `--rate`.
    pub rate: f64,
    /// Parts in flight: `--concurrency`.
    pub in_flight: usize,
    /// Parts of one ticket: `--batch`. They are sent together, and the next ticket waits until all of them
    /// fit the rate.
    pub group: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rate: FASTEST, in_flight: usize::MAX, group: 1 }
    }
}

/// Permission to send a number of writes now. When it is dropped, its parts that are not settled are no
/// longer in flight.
#[derive(Debug)]
pub struct Ticket {
    pace: Arc<Pace>,
    probe: bool,
    sent: Instant,
    parts: u32,
    unsettled: u32,
}

/// A ticket whose parts are being settled. It holds the lock, so no request is admitted while it lives.
#[derive(Debug)]
pub struct Settlement<'a> {
    state: MutexGuard<'a, PaceState>,
    changed: &'a Notify,
    ticket: &'a mut Ticket,
    now: Instant,
}

/// What pacing found out about a settled attempt of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptFeedback {
    /// Streak of failures to which a transient attempt belongs.
    pub streak: Option<u64>,
    /// Set if an unannounced limit throttled the attempt. The attempt then does not count for the user.
    pub limit: Option<Throttle>,
}

impl AttemptFeedback {
    /// Changes the result of the attempt to throttled if an unannounced limit caused it.
    pub fn apply_to(&self, attempt: &mut Attempt) {
        if let Some(limit) = self.limit {
            attempt.kind = AttemptResult::Throttled(limit);
        }
    }
}

impl Pace {
    /// Creates the pacing of a run. `random` spreads the probes of several processes; `None` makes pauses
    /// exact.
    pub fn new(controller: RateController, bounds: Bounds, random: Option<fastrand::Rng>) -> Arc<Self> {
        Arc::new(Self {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(PaceState::new(controller, bounds, random)),
            changed: Notify::new(),
        })
    }

    /// Restores a cool-down that had not ended when the last invocation did.
    pub fn restore(&self, scope: Scope, remaining: Duration) {
        self.state().cooldowns.restore(scope, remaining, Instant::now());
    }

    /// Waits in order of arrival until sending is allowed, then returns a ticket for at most `parts` writes
    /// (from 1). The ticket is for fewer if fewer are allowed, and for exactly one if it is a probe. Call
    /// again for the remainder. No await point lies between the last check of the cool-downs and the return.
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
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Records the result of an attempt. Call it once for each part of the ticket, whatever the result is.
    pub fn settle(&self, ticket: &mut Ticket, row: u64, attempt: &Attempt) -> AttemptFeedback {
        self.settling(ticket).part(row, attempt)
    }

    /// Starts to settle several parts that were answered together. They take the lock once and wake the
    /// waiting task once.
    pub fn settling<'a>(&'a self, ticket: &'a mut Ticket) -> Settlement<'a> {
        Settlement { state: self.state(), changed: &self.changed, ticket, now: Instant::now() }
    }

    /// Returns whether a streak was an outage. The attempts of an outage do not count for their users.
    pub fn was_outage(&self, streak: u64) -> bool {
        self.state().outage.was_outage(streak)
    }

    /// Records a pause that the service announced for one user. The stall rule excludes it.
    pub fn user_waits(&self, wait: Duration) {
        self.state().cooldowns.announce(wait, Instant::now());
    }

    /// Returns whether requests are sent at the moment, for the display. An announced pause comes before an
    /// outage.
    pub fn send_state(&self) -> SendState {
        let (state, now) = (self.state(), Instant::now());
        match (state.cooldowns.running(now), state.outage.active()) {
            (Some(cooldown), None) => SendState::CoolDown(cooldown),
            (Some(cooldown), Some(_)) if cooldown.announced => SendState::CoolDown(cooldown),
            (_, Some(outage)) => SendState::Outage { since: outage.since, next_probe: outage.next_probe },
            (None, None) => SendState::Open,
        }
    }

    /// Parts that are sent and not settled.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// Cool-downs that have not ended, for `state.json`.
    pub fn cooling(&self) -> Vec<RunningCooldown> {
        let now = Instant::now();
        self.state().cooldowns.all().filter(|cooldown| cooldown.until > now).collect()
    }

    /// Time since the last final response, without the longest pause that was announced since then.
    pub fn silent_for(&self) -> Duration {
        let state = self.state();
        state.last_answer.elapsed().saturating_sub(state.cooldowns.longest_announced)
    }

    /// Values from which a later invocation starts, and when the last write was sent. `None`: the controller
    /// does not measure.
    pub fn learned(&self) -> Option<(LearnedRate, Option<Instant>)> {
        let state = self.state();
        state.controller.learned().map(|learned| (learned, state.last_sent))
    }

    /// Rate at the moment, in writes per second, above zero. Pauses are not included.
    pub fn rate(&self) -> f64 {
        let state = self.state();
        let limit = state.rate_limit.rate();
        state.controller.rate(Instant::now()).map_or(limit, |rate| rate.min(limit))
    }

    /// Throttling and pauses so far.
    pub fn throttle_stats(&self) -> ThrottleStats {
        let state = self.state();
        // If the run is stopped during a pause, the elapsed part of the pause counts.
        let pause = state
            .paused_since
            .map_or(Duration::ZERO, |since| Instant::now().saturating_duration_since(since));
        let rate = state.controller.learned().and_then(|learned| learned.rate);
        let paused = state.stats.waited + pause;
        let used =
            rate.zip(state.usage).and_then(|(rate, usage)| usage.share(rate, paused, state.last_answer));
        ThrottleStats { rate, used, waited: paused, ..state.stats.clone() }
    }

    fn state(&self) -> MutexGuard<'_, PaceState> {
        // No code under the lock can panic halfway through a change.
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
        self.changed.notify_one();
    }
}

impl PaceState {
    pub(super) fn new(mut controller: RateController, bounds: Bounds, random: Option<fastrand::Rng>) -> Self {
        controller.set_rate_limit(bounds.rate);
        Self {
            controller,
            rate_limit: RateLimitBucket::new(bounds.rate, bounds.group),
            cooldowns: Cooldowns::new(random),
            outage: Outage::default(),
            unannounced: Unannounced::default(),
            before_limit: None,
            probe_in_flight: false,
            in_flight: 0,
            max_in_flight: bounds.in_flight.max(1),
            last_sent: None,
            last_answer: Instant::now(),
            stats: ThrottleStats::default(),
            paused_since: None,
            usage: None,
        }
    }

    /// Returns how many parts may be sent now, and whether they are a probe. The error is the instant of the
    /// next call; `None`: when the state has changed.
    pub(super) fn admit(&mut self, parts: u32, now: Instant) -> Result<(u32, bool), Option<Instant>> {
        if let Some(cooldown) = self.cooldowns.running(now) {
            return Err(Some(cooldown.until));
        }
        let outage = self.outage.active();
        let probe = self.cooldowns.is_active() || outage.is_some();
        if probe && self.probe_in_flight {
            return Err(None);
        }
        if let Some(outage) = outage.filter(|outage| outage.next_probe > now) {
            return Err(Some(outage.next_probe));
        }
        let room = self.max_in_flight.min(self.controller.in_flight()).saturating_sub(self.in_flight);
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
            self.probe_in_flight = true;
            self.outage.record_probe(now);
        }
        Ok((parts.get(), probe))
    }

    pub(super) fn free(&mut self, parts: u32, probe: bool) {
        self.in_flight = self.in_flight.saturating_sub(parts as usize);
        self.probe_in_flight &= !probe;
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
            // This is not a failure: the request is sent again with another version of HTTP.
            AttemptResult::Transient(TransientFailure::Http2Refused) => None,
            AttemptResult::Transient(_) => Some(self.outage.record_failure(row, now)),
            _ => None,
        };
        let is_outage = self.outage.active().is_some();
        if is_outage && let Some(controller) = self.before_limit.take() {
            self.controller = controller;
        }
        let unannounced = |quota| is_limit.then(|| Throttle { scope: Scope::default(), quota });
        let limit = match &attempt.kind {
            // During an outage the outage rule decides.
            AttemptResult::Transient(_) if !is_outage => unannounced(true),
            // Conflicts with another writer do not show anything about the rate.
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
            // The response does not show whether the limit still holds. The next probe may be sent.
            _ => {}
        }
        AttemptFeedback { streak: streak.filter(|_| limit.is_none()), limit }
    }

    fn throttled(&mut self, scope: Scope, wait: Option<Duration>, sent: Instant, now: Instant) {
        let usage = self.usage.get_or_insert_with(|| Usage::begin(now));
        if self.paused_since.is_none() {
            self.paused_since = Some(now);
            self.stats.pauses += 1;
            usage.last_pause = (now, usage.served, self.stats.waited);
        }
        self.cooldowns.throttled(scope, wait, sent, now);
        self.stats.throttled[scope.index()] += 1;
        if let Some(cooldown) = self.cooldowns.running(now) {
            self.stats.longest = self.stats.longest.max(cooldown.length);
        }
    }

    fn served(&mut self, sent: Instant, row: u64, now: Instant) {
        self.outage.record_answer(row);
        self.before_limit = None;
        let was_active = self.cooldowns.is_active();
        self.cooldowns.served(sent);
        if let Some(usage) = &mut self.usage {
            usage.served += 1;
        }
        if was_active && !self.cooldowns.is_active() {
            if let Some(since) = self.paused_since.take() {
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

    /// Returns whether the ticket is still valid: no cool-down or outage has begun since it was issued. Call
    /// it again after the token has arrived.
    pub fn still_open(&self) -> bool {
        let state = self.pace.state();
        let only_probe = state.cooldowns.is_active() || state.outage.active().is_some();
        state.cooldowns.running(Instant::now()).is_none() && (self.probe || !only_probe)
    }

    /// Sets the time of sending to now. Call it right before the request is sent.
    pub fn mark_sent(&mut self) {
        self.sent = Instant::now();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.unsettled > 0 {
            self.pace.state().free(self.unsettled, self.probe);
            self.pace.changed.notify_one();
        }
    }
}

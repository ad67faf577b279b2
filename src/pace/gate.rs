//! The gate: asked under one fair lock, fed with every attempt.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::adaptive::Learned;
use super::controller::{QuotaSignal, RateController};
use super::cooldown::{Cooldowns, Cooling};
use super::outage::Outage;
use super::quota::{Ceiling, FASTEST};
use super::unannounced::Unannounced;
use crate::model::{Attempt, AttemptResult, Scope, Throttle, TransientFailure};

/// Shared by all workers of one app in one tenant.
#[derive(Debug)]
pub struct Pace {
    /// First come, first served; whoever holds it is the one waiter that is awake.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<Flow>,
    /// Wakes the holder of `turn` when the state has moved.
    moved: Notify,
}

/// What the lock guards. Apart from the ceiling's, instants are passed in.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) controller: RateController,
    ceiling: Ceiling,
    pub(super) cooldowns: Cooldowns,
    outage: Outage,
    unannounced: Unannounced,
    /// Copy of the controller from before an unannounced limit. It is restored if the limit turns out to be an outage.
    before_limit: Option<RateController>,
    probe_out: bool,
    /// Parts of tickets that are neither settled nor dropped.
    pub(super) in_flight: usize,
    most_in_flight: usize,
    last_sent: Option<Instant>,
    last_answer: Instant,
    waits: Waits,
    shut_since: Option<Instant>,
    usage: Option<Usage>,
}

/// How often and how long the service made us wait, by whose limit ([`Scope::index`]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waits {
    /// Refused requests.
    pub refused: [u64; 3],
    /// Longest single wait.
    pub longest: Duration,
    /// Spells of waiting, from the first refusal to the next answer.
    pub spells: u64,
    /// Their length together, one that is not over as far as it was waited for.
    pub waited: Duration,
    /// Writes per second that the service gives, where it was learned.
    pub rate: Option<f64>,
    /// Share of it that was used since the first refusal, 0 to 1; `None` where no limit was met, where no rate is known,
    /// and where the list ended before what the service gave during a pause could be used.
    pub used: Option<f64>,
}

/// How much of the quota is used from the first refusal on.
#[derive(Clone, Copy, Debug)]
struct Usage {
    since: Instant,
    served: u64,
    /// Beginning of the last pause, what was served before it, and the length of all pauses before it.
    last_pause: (Instant, u64, Duration),
}

impl Usage {
    fn begin(now: Instant) -> Self {
        Self { since: now, served: 0, last_pause: (now, 0, Duration::ZERO) }
    }

    /// The share of `rate` writes per second that was used until `last_answer`. `waited` is the length of all pauses.
    /// The time since the last pause began counts only if enough users were left to use what the service gave in it:
    /// otherwise the figure would tell how long the list was.
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

/// Why nothing leaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waiting {
    /// It does.
    No,
    /// The service asked for it.
    CoolDown(Cooling),
    /// Nobody was answered: one probe at a time.
    Outage {
        /// Since when.
        since: Instant,
        /// When the next probe leaves.
        next_probe: Instant,
    },
}

/// Bounds that hold whatever the rate controller decides.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most writes per second, 0.01 to 1,000,000: `--rate`.
    pub rate: f64,
    /// Most parts in flight: `--concurrency`.
    pub in_flight: usize,
    /// Most parts of one ticket: `--batch`. So many may leave at once, and are then paid for.
    pub group: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rate: FASTEST, in_flight: usize::MAX, group: 1 }
    }
}

/// The right to send so many writes now. Dropping it frees the places of the parts that were not settled.
#[derive(Debug)]
pub struct Ticket {
    pace: Arc<Pace>,
    probe: bool,
    sent: Instant,
    parts: u32,
    unsettled: u32,
}

/// Parts of a ticket being settled. Nothing leaves meanwhile.
#[derive(Debug)]
pub struct Settling<'a> {
    state: MutexGuard<'a, Flow>,
    moved: &'a Notify,
    ticket: &'a mut Ticket,
    now: Instant,
}

/// What a settled attempt leaves behind for its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The streak of failures that a transient attempt belongs to.
    pub streak: Option<u64>,
    /// Set where the attempt was refused by a limit that names no time: it says nothing about the user.
    pub limit: Option<Throttle>,
}

impl Settled {
    /// Makes the attempt a throttled one where a limit refused it.
    pub fn judge(&self, attempt: &mut Attempt) {
        if let Some(limit) = self.limit {
            attempt.kind = AttemptResult::Throttled(limit);
        }
    }
}

impl Pace {
    /// `random` spreads the probes of several processes; `None` is exact.
    pub fn new(controller: RateController, bounds: Bounds, random: Option<fastrand::Rng>) -> Arc<Self> {
        Arc::new(Self {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(Flow::new(controller, bounds, random)),
            moved: Notify::new(),
        })
    }

    /// A cool-down that was running when the last call ended.
    pub fn restore(&self, scope: Scope, remaining: Duration) {
        self.state().cooldowns.restore(scope, remaining, Instant::now());
    }

    /// Waits for one fair turn and gives the right to send as many of `parts` writes (from 1) as may leave together:
    /// a single one where it is a probe. The rest asks again. Nothing is awaited between the last look at the
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

    /// Feedback for every attempt, good or bad, once for each part of the ticket.
    pub fn settle(&self, ticket: &mut Ticket, row: u64, attempt: &Attempt) -> Settled {
        self.settling(ticket).part(row, attempt)
    }

    /// The same for several that were answered in one moment: under one lock, and whoever waits is woken once.
    pub fn settling<'a>(&'a self, ticket: &'a mut Ticket) -> Settling<'a> {
        Settling { state: self.state(), moved: &self.moved, ticket, now: Instant::now() }
    }

    /// Whether the attempts of a streak count against nobody, because it turned out to be an outage.
    pub fn is_forgiven(&self, streak: u64) -> bool {
        self.state().outage.is_forgiven(streak)
    }

    /// The service asked for a wait of one user, which is waited for.
    pub fn user_waits(&self, wait: Duration) {
        self.state().cooldowns.announce(wait, Instant::now());
    }

    /// Why nothing leaves, for the display.
    pub fn waiting(&self) -> Waiting {
        let (state, now) = (self.state(), Instant::now());
        match (state.cooldowns.running(now), state.outage.paused()) {
            (Some(cooling), None) => Waiting::CoolDown(cooling),
            (Some(cooling), Some(_)) if cooling.announced => Waiting::CoolDown(cooling),
            (_, Some(pause)) => Waiting::Outage { since: pause.since, next_probe: pause.next_probe },
            (None, None) => Waiting::No,
        }
    }

    /// Parts that left and are not settled.
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// Cool-downs whose time is not over, for `state.json`.
    pub fn cooling(&self) -> Vec<Cooling> {
        let now = Instant::now();
        self.state().cooldowns.all().filter(|cooling| cooling.until > now).collect()
    }

    /// How long nobody has been answered, without the longest announced wait since then.
    pub fn silent_for(&self) -> Duration {
        let state = self.state();
        state.last_answer.elapsed().saturating_sub(state.cooldowns.longest_announced)
    }

    /// What a later run starts from, and when the last write left; `None` if the controller does not measure.
    pub fn learned(&self) -> Option<(Learned, Option<Instant>)> {
        let state = self.state();
        state.controller.learned().map(|learned| (learned, state.last_sent))
    }

    /// Writes per second that may leave at this moment, waits apart: above zero.
    pub fn rate(&self) -> f64 {
        let state = self.state();
        let ceiling = state.ceiling.rate();
        state.controller.rate(Instant::now()).map_or(ceiling, |rate| rate.min(ceiling))
    }

    /// Refusals and waits so far.
    pub fn waits(&self) -> Waits {
        let state = self.state();
        // A run that is stopped in a pause has waited for it so far.
        let pause =
            state.shut_since.map_or(Duration::ZERO, |since| Instant::now().saturating_duration_since(since));
        let rate = state.controller.learned().and_then(|learned| learned.rate);
        let waited = state.waits.waited + pause;
        let used =
            rate.zip(state.usage).and_then(|(rate, usage)| usage.share(rate, waited, state.last_answer));
        Waits { rate, used, waited, ..state.waits.clone() }
    }

    fn state(&self) -> MutexGuard<'_, Flow> {
        // Nothing inside the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settling<'_> {
    /// Feedback for one part of the ticket.
    pub fn part(&mut self, row: u64, attempt: &Attempt) -> Settled {
        let freed = self.ticket.unsettled.min(1);
        self.ticket.unsettled -= freed;
        self.state.free(freed, self.ticket.probe);
        self.state.settle(self.ticket.sent, row, attempt, self.now)
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.moved.notify_one();
    }
}

impl Flow {
    pub(super) fn new(mut controller: RateController, bounds: Bounds, random: Option<fastrand::Rng>) -> Self {
        controller.set_rate_limit(bounds.rate);
        Self {
            controller,
            ceiling: Ceiling::new(bounds.rate, bounds.group),
            cooldowns: Cooldowns::new(random),
            outage: Outage::default(),
            unannounced: Unannounced::default(),
            before_limit: None,
            probe_out: false,
            in_flight: 0,
            most_in_flight: bounds.in_flight.max(1),
            last_sent: None,
            last_answer: Instant::now(),
            waits: Waits::default(),
            shut_since: None,
            usage: None,
        }
    }

    /// How many parts may leave now, and whether it is a probe; else when to ask again (`None`: when something moved).
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
        let most = if probe { 1 } else { parts.clamp(1, self.ceiling.group()) };
        let parts = most.min(u32::try_from(room).unwrap_or(u32::MAX));
        let Some(parts) = NonZeroU32::new(parts) else { return Err(None) };
        let next = self.controller.next_send(now);
        if next > now {
            return Err(Some(next));
        }
        self.ceiling.take(parts).map_err(|wait| Some(now + wait))?;
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

    pub(super) fn settle(&mut self, sent: Instant, row: u64, attempt: &Attempt, now: Instant) -> Settled {
        let is_limit = self.unannounced.is_limit(row, &attempt.kind);
        let streak = match &attempt.kind {
            // Nothing failed: the request is sent again in another version of HTTP.
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
            // Nobody is answered: that has a rule of its own.
            AttemptResult::Transient(_) if !is_outage => unannounced(true),
            // Another writer's conflicts say nothing about the rate.
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
            // Says nothing about the limit: the next probe may leave.
            _ => {}
        }
        Settled { streak: streak.filter(|_| limit.is_none()), limit }
    }

    fn throttled(&mut self, scope: Scope, wait: Option<Duration>, sent: Instant, now: Instant) {
        let usage = self.usage.get_or_insert_with(|| Usage::begin(now));
        if self.shut_since.is_none() {
            self.shut_since = Some(now);
            self.waits.spells += 1;
            usage.last_pause = (now, usage.served, self.waits.waited);
        }
        self.cooldowns.refused(scope, wait, sent, now);
        self.waits.refused[scope.index()] += 1;
        if let Some(cooling) = self.cooldowns.running(now) {
            self.waits.longest = self.waits.longest.max(cooling.length);
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
                self.waits.waited += now - since;
            }
            self.controller.on_reopened(now);
        }
    }
}

impl Ticket {
    /// How many writes may leave with it, from 1.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// The second look, after the token: whether no cool-down or outage began since the ticket was given.
    pub fn still_open(&self) -> bool {
        let state = self.pace.state();
        let shut = state.cooldowns.is_shut() || state.outage.paused().is_some();
        state.cooldowns.running(Instant::now()).is_none() && (self.probe || !shut)
    }

    /// The moment of sending, once nothing stands between.
    pub fn leaves_now(&mut self) {
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

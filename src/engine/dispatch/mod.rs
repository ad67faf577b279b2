//! The one gate through which requests leave: gather, cool-down, admission, cool-down again, token, send, settle.

mod contact;
mod gather;
mod reads;
mod refusals;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::graph::{Client, Part, Pass};
use crate::model::{Attempt, Fault, Kind, Reason, Row, UserId};
use crate::pace::{Pace, Settled, Ticket};
use crate::stop::{Stop, Why};

use contact::Contact;
use gather::Gathering;
pub use reads::{Asked, Reads};
use refusals::{Action, Refusals, SendOrder, Verdict};

/// Who waited longer for a token asks the gate again: with all who wait for the same one, the writes of more than this at
/// the present rate would leave at once.
const LATE: Duration = Duration::from_millis(500);
/// How long answers to requests in flight are waited for before a token is checked: they mostly tell, and cost nothing.
const GRACE: Duration = Duration::from_millis(250);
/// How long the answer to a check is waited for, during which nothing is sent.
const CHECK: Duration = Duration::from_secs(10);
/// Before a user is sent again whose 401 the check told nothing about.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(1);
/// A user refused with 403 is recorded so long after the last other user was answered: none is left who could show that a
/// role ended.
const ALONE: Duration = Duration::from_millis(250);
/// Number of the check in the outage rule: no row has it.
const CHECK_NUMBER: u64 = u64::MAX - 1;

/// One request and its answer. The real client, or a script under a paused clock; not a second seam beside the base URL.
pub trait Exchange: Send + Sync + 'static {
    /// What a request needs that may take time to get: a token.
    type Pass: Send + Sync;

    /// Gets the pass. The text of an error ends the run as a sign-in failure.
    fn prepare(&self) -> impl Future<Output = Result<Self::Pass, String>> + Send;

    /// Sends one request. Bounded by its own timeout.
    fn send(&self, pass: &Self::Pass, id: &UserId) -> impl Future<Output = Attempt> + Send;

    /// Sends several in one request, at most [`graph::MOST_PARTS`](crate::graph::MOST_PARTS): as many parts, in their
    /// order. What knows no batches sends one after the other.
    fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> impl Future<Output = Vec<Part>> + Send {
        async move {
            let mut parts = Vec::with_capacity(ids.len());
            for id in ids {
                parts.push(Part::Own(self.send(pass, id).await));
            }
            parts
        }
    }

    /// The pass that the attempt was sent with is not accepted any more.
    fn rejected(&self, attempt: &Attempt);

    /// Asks for something harmless that needs a pass: whether the pass is accepted at all. What knows no such request tells
    /// nothing.
    fn check(&self, _pass: &Self::Pass) -> impl Future<Output = Attempt> + Send {
        async { Attempt::of(Kind::Transient(Fault::NotGraph)) }
    }

    /// Whether a network lies between here and there, which may bar the way.
    fn is_remote(&self) -> bool {
        false
    }

    /// Gets a newer pass than the attempt was sent with, if there is one. The old one stays good without it.
    fn renew(&self, _attempt: &Attempt) -> impl Future<Output = bool> + Send {
        async { false }
    }
}

/// Whose a refusal was that [`Dispatch::whose`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The user's own.
    User,
    /// The sign-in's: it counts for no user, who is sent again.
    SignIn,
}

/// The gate with what it asks.
#[derive(Debug)]
pub struct Dispatch<E> {
    gate: Arc<Gate<E>>,
    gathering: Option<Gathering>,
}

/// What single requests and groups share.
#[derive(Debug)]
struct Gate<E> {
    exchange: E,
    pace: Arc<Pace>,
    stop: Stop,
    contact: Contact,
    refusals: Refusals,
    /// Users who are being sent, or wait to be.
    at_work: AtomicUsize,
}

/// The right to send now.
struct Departure<P> {
    ticket: Ticket,
    pass: P,
    /// Number of the request, in the order of sending.
    request: u64,
}

impl<E: Exchange> Dispatch<E> {
    /// One for all workers; every user is a request of his own.
    pub fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        Self { gate: Arc::new(Gate::new(exchange, pace, stop)), gathering: None }
    }

    /// The same with up to `most` users in one request, 1 to 20. Called inside a runtime, which also runs the groups.
    pub fn batched(exchange: E, pace: Arc<Pace>, stop: Stop, most: usize) -> Self {
        let gate = Arc::new(Gate::new(exchange, pace, stop));
        let gathering = (most > 1).then(|| Gathering::start(gate.clone(), most));
        Self { gate, gathering }
    }

    /// Sends a request for the row as soon as it may leave, alone or with others. `None`: the run stops and nothing was
    /// sent, or the answer will not be waited for. [`Dispatch::whose`] says whether a refusal counts.
    pub async fn attempt(&self, row: &Row) -> Option<(Attempt, Settled)> {
        let _at_work = AtWork::begin(&self.gate.at_work);
        let (mut attempt, settled) =
            match self.gathering.as_ref().filter(|gathering| gathering.takes(row.number)) {
                Some(gathering) => gathering.attempt(row, &self.gate.stop).await?,
                None => self.gate.single(row.number, &row.id).await?,
            };
        settled.judge(&mut attempt);
        Some((attempt, settled))
    }

    /// The service asked for a wait of one user, which is waited for: no silence of the service.
    pub fn user_waits(&self, wait: Duration) {
        self.gate.pace.user_waits(wait);
    }

    /// From now on a user refused with 403 is not decided before it is known whether a role or permission ended.
    /// `accepted_before`: an earlier invocation of the run had users accepted.
    pub fn hold_forbidden(&self, accepted_before: bool) {
        self.gate.refusals.hold_forbidden(accepted_before);
    }

    /// Whose a refusal is, once later answers or a check have told: asked after every 401 and 403 of an attempt, by a user
    /// who holds nobody else up meanwhile. `None`: the run stops.
    pub async fn whose(&self, row: u64, attempt: &Attempt) -> Option<Whose> {
        self.gate.whose(row, attempt).await
    }

    /// Whether a streak's attempts count against nobody.
    pub fn is_forgiven(&self, streak: u64) -> bool {
        self.gate.pace.is_forgiven(streak)
    }
}

/// Counts a user as long as it lives.
struct AtWork<'a>(&'a AtomicUsize);

impl<'a> AtWork<'a> {
    fn begin(users: &'a AtomicUsize) -> Self {
        users.fetch_add(1, Relaxed);
        Self(users)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Whether an answer may be about the sign-in and not about the user.
pub fn may_be_of_sign_in(attempt: &Attempt) -> bool {
    matches!(attempt.kind, Kind::Unauthorized { .. } | Kind::Refused(Reason::NoPermission))
}

impl<E: Exchange> Gate<E> {
    fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        let contact = Contact::new(!exchange.is_remote());
        Self { exchange, pace, stop, contact, refusals: Refusals::new(), at_work: AtomicUsize::new(0) }
    }

    async fn single(self: &Arc<Self>, number: u64, id: &UserId) -> Option<(Attempt, Settled)> {
        let mut departure = self.leave(1).await?;
        let attempt = tokio::select! {
            biased;
            attempt = self.exchange.send(&departure.pass, id) => attempt,
            () = self.stop.aborting() => return None,
        };
        let settled = self.settle(&mut departure, number, &attempt);
        Some((attempt, settled))
    }

    fn settle(
        self: &Arc<Self>,
        departure: &mut Departure<E::Pass>,
        number: u64,
        attempt: &Attempt,
    ) -> Settled {
        self.heed(SendOrder { request: departure.request, part: 0 }, number, number, attempt);
        self.pace.settle(&mut departure.ticket, number, attempt)
    }

    /// What an answer says about the sign-in; before the next request may leave. `counted`: see [`Refusals::answered`].
    fn heed(self: &Arc<Self>, sent: SendOrder, number: u64, counted: u64, attempt: &Attempt) {
        if let Some(why) = self.contact.answered(attempt) {
            self.stop.drain(why);
        }
        let action = self.refusals.answered(sent, number, counted, attempt);
        self.act(action, attempt);
    }

    fn act(self: &Arc<Self>, action: Action, attempt: &Attempt) {
        match action {
            Action::Nothing => {}
            Action::Reject => self.exchange.rejected(attempt),
            Action::Stop(why) => self.stop.drain(why),
            Action::Check(check) => {
                let gate = self.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = gate.check(check) => {}
                        () = gate.stop.draining() => {}
                    }
                });
            }
            Action::Renew => {
                let (gate, attempt) = (self.clone(), attempt.clone());
                tokio::spawn(async move {
                    let newer = gate.exchange.renew(&attempt).await;
                    let action = gate.refusals.renewed(newer, &attempt);
                    gate.act(action, &attempt);
                });
            }
        }
    }

    /// Finds out whether a token is accepted: by requests in flight, else by one of its own.
    async fn check(self: &Arc<Self>, check: u64) {
        let grace = sleep(GRACE);
        tokio::pin!(grace);
        loop {
            let moved = self.refusals.moved();
            match self.refusals.awaits(check) {
                (false, _) => return,
                (true, false) => break,
                (true, true) => tokio::select! {
                    () = moved => {}
                    () = &mut grace => break,
                },
            }
        }
        let Some(Departure { mut ticket, pass, request }) = self.ready(1, true).await else { return };
        let sent = SendOrder { request, part: 0 };
        match timeout(CHECK, self.exchange.check(&pass)).await {
            Ok(attempt) => {
                let action = self.refusals.checked(check, sent, Some(&attempt));
                self.pace.settle(&mut ticket, CHECK_NUMBER, &attempt);
                self.act(action, &attempt);
            }
            Err(_) => _ = self.refusals.checked(check, sent, None),
        }
    }

    async fn whose(self: &Arc<Self>, number: u64, attempt: &Attempt) -> Option<Whose> {
        tokio::select! {
            biased;
            whose = self.decided(number, attempt) => Some(whose),
            () = self.stop.draining() => None,
        }
    }

    async fn decided(self: &Arc<Self>, number: u64, attempt: &Attempt) -> Whose {
        loop {
            let moved = self.refusals.moved();
            let (verdict, action) = self.refusals.verdict(number, attempt);
            self.act(action, attempt);
            match verdict {
                Verdict::User => return Whose::User,
                Verdict::SignIn => return Whose::SignIn,
                Verdict::Unknown => {
                    sleep(UNKNOWN_PAUSE).await;
                    return Whose::SignIn;
                }
                Verdict::Undecided => moved.await,
                Verdict::UnlessAlone => {
                    let is_alone = || self.at_work.load(Relaxed) == 0;
                    let was_alone = is_alone();
                    tokio::select! {
                        biased;
                        () = moved => {}
                        () = sleep(ALONE) => if was_alone && is_alone() { return Whose::User },
                    }
                }
            }
        }
    }

    /// The right to send as many of `parts` as may leave together, unless the run stops first.
    async fn leave(&self, parts: usize) -> Option<Departure<E::Pass>> {
        // Where nothing has to be waited for, the stop need not be watched, only looked at.
        tokio::select! {
            biased;
            ready = self.ready(parts, false) => ready.filter(|_| self.stop.is_running()),
            () = self.stop.draining() => None,
        }
    }

    /// `checks`: the request is the one that checks the token, for which all others wait.
    async fn ready(&self, parts: usize, checks: bool) -> Option<Departure<E::Pass>> {
        let mut patient = true;
        self.contact.permits().await;
        loop {
            if !checks {
                self.out_of_doubt().await;
            }
            let mut ticket = self.pace.admit(u32::try_from(parts).unwrap_or(u32::MAX)).await;
            let admitted = Instant::now();
            let pass = match self.exchange.prepare().await {
                Ok(pass) => pass,
                Err(text) => {
                    self.stop.drain(Why::SignIn(text));
                    return None;
                }
            };
            // The token may have taken a while: a cool-down that began meanwhile sends us round again, and so does the
            // company of those who waited for the same token. Once: where each token takes so long, all are late.
            let late = patient && admitted.elapsed() > LATE;
            let doubted = !checks && self.refusals.is_in_doubt();
            if ticket.still_open() && !late && !doubted {
                ticket.leaves_now();
                let request = self.refusals.sent(parts.min(ticket.parts() as usize));
                return Some(Departure { ticket, pass, request });
            }
            patient &= !late;
        }
    }

    /// Waits until no token is being checked.
    async fn out_of_doubt(&self) {
        loop {
            let moved = self.refusals.moved();
            if !self.refusals.is_in_doubt() {
                return;
            }
            moved.await;
        }
    }
}

impl Exchange for Client {
    type Pass = Pass;

    async fn prepare(&self) -> Result<Self::Pass, String> {
        self.tokens().current().await
    }

    async fn send(&self, pass: &Self::Pass, id: &UserId) -> Attempt {
        let mut attempt = self.retry_provisioning(pass, id).await;
        pass.hide_in(&mut attempt);
        attempt
    }

    async fn send_batch(&self, pass: &Self::Pass, ids: &[UserId]) -> Vec<Part> {
        let mut parts = self.retry_batch(pass, ids).await;
        parts.iter_mut().for_each(|part| pass.hide_in(part.attempt_mut()));
        parts
    }

    async fn check(&self, pass: &Self::Pass) -> Attempt {
        let mut attempt = Self::check(self, pass).await;
        pass.hide_in(&mut attempt);
        attempt
    }

    fn is_remote(&self) -> bool {
        true
    }

    async fn renew(&self, attempt: &Attempt) -> bool {
        self.tokens().renew(attempt.token_generation).await
    }

    fn rejected(&self, attempt: &Attempt) {
        let claims = match &attempt.kind {
            Kind::Unauthorized { claims } => claims.as_deref(),
            _ => None,
        };
        self.tokens().reject(attempt.token_generation, claims);
    }
}

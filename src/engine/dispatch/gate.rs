//! The gate through which all requests are sent: cool-down, admission, cool-down again, token, send, settle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::contact::Contact;
use super::exchange::Exchange;
use super::refusals::{Action, RefusalVerdict, Refusals, SendOrder};
use crate::model::{Attempt, AttemptResult, Reason, UserId};
use crate::pace::{AttemptFeedback, Pace, Ticket};
use crate::stop::{Stop, StopReason};

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

/// Whose a refusal was that `Dispatch::whose` decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The user's own.
    User,
    /// The sign-in's: it counts for no user, who is sent again.
    SignIn,
}

/// What single requests and groups share.
#[derive(Debug)]
pub(super) struct Gate<E> {
    pub(super) exchange: E,
    pub(super) pace: Arc<Pace>,
    pub(super) stop: Stop,
    pub(super) contact: Contact,
    pub(super) refusals: Refusals,
    /// Users who are being sent, or wait to be.
    pub(super) at_work: AtomicUsize,
}

/// The right to send now.
pub(super) struct Departure<P> {
    pub(super) ticket: Ticket,
    pub(super) pass: P,
    /// Number of the request, in the order of sending.
    pub(super) request: u64,
}

/// Counts a user as long as it lives.
pub(super) struct AtWork<'a>(&'a AtomicUsize);

impl<'a> AtWork<'a> {
    pub(super) fn begin(users: &'a AtomicUsize) -> Self {
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
    matches!(attempt.kind, AttemptResult::Unauthorized { .. } | AttemptResult::Rejected(Reason::NoPermission))
}

impl<E: Exchange> Gate<E> {
    pub(super) fn new(exchange: E, pace: Arc<Pace>, stop: Stop) -> Self {
        let contact = Contact::new(!exchange.is_remote());
        Self { exchange, pace, stop, contact, refusals: Refusals::new(), at_work: AtomicUsize::new(0) }
    }

    pub(super) async fn single(
        self: &Arc<Self>,
        number: u64,
        id: &UserId,
    ) -> Option<(Attempt, AttemptFeedback)> {
        let mut departure = self.leave(1).await?;
        let attempt = tokio::select! {
            biased;
            attempt = self.exchange.send(&departure.pass, id) => attempt,
            () = self.stop.aborting() => return None,
        };
        let settled = self.settle(&mut departure, number, &attempt);
        Some((attempt, settled))
    }

    pub(super) fn settle(
        self: &Arc<Self>,
        departure: &mut Departure<E::Pass>,
        number: u64,
        attempt: &Attempt,
    ) -> AttemptFeedback {
        self.heed(SendOrder { request: departure.request, part: 0 }, number, number, attempt);
        self.pace.settle(&mut departure.ticket, number, attempt)
    }

    /// What an answer says about the sign-in; before the next request may leave. `counted`: see [`Refusals::answered`].
    pub(super) fn heed(self: &Arc<Self>, sent: SendOrder, number: u64, counted: u64, attempt: &Attempt) {
        if let Some(why) = self.contact.answered(attempt) {
            self.stop.drain(why);
        }
        let action = self.refusals.answered(sent, number, counted, attempt);
        self.act(action, attempt);
    }

    pub(super) fn act(self: &Arc<Self>, action: Action, attempt: &Attempt) {
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

    pub(super) async fn whose(self: &Arc<Self>, number: u64, attempt: &Attempt) -> Option<Whose> {
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
                RefusalVerdict::User => return Whose::User,
                RefusalVerdict::SignIn => return Whose::SignIn,
                RefusalVerdict::Unknown => {
                    sleep(UNKNOWN_PAUSE).await;
                    return Whose::SignIn;
                }
                RefusalVerdict::Undecided => moved.await,
                RefusalVerdict::UnlessAlone => {
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
    pub(super) async fn leave(&self, parts: usize) -> Option<Departure<E::Pass>> {
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
                    self.stop.drain(StopReason::SignIn(text));
                    return None;
                }
            };
            // The token may have taken a while: a cool-down that began meanwhile sends us round again, and so does the
            // company of those who waited for the same token. Once: where each token takes so long, all are late.
            let late = patient && admitted.elapsed() > LATE;
            let doubted = !checks && self.refusals.is_in_doubt();
            if ticket.still_open() && !late && !doubted {
                ticket.mark_sent();
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

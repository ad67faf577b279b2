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

/// Longest wait for a token after which a request may be sent without a second admission. Otherwise all
/// requests that waited for the same token would be sent together and exceed the rate.
const LATE: Duration = Duration::from_millis(500);
/// Time to wait for responses to requests in flight before a token is checked. They usually decide, and cost
/// nothing.
const GRACE: Duration = Duration::from_millis(250);
/// Longest wait for the response to a check. Nothing is sent meanwhile.
const CHECK: Duration = Duration::from_secs(10);
/// Delay before a user is sent again if the check did not decide about its 401.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(1);
/// Time after the last response for another user after which a 403 is recorded. Then no user is left that
/// could show that a role ended.
const ALONE: Duration = Duration::from_millis(250);
/// Row number of the check in the outage rule. No row has it.
const CHECK_NUMBER: u64 = u64::MAX - 1;

/// The cause of a 401 or 403, as `Dispatch::whose` decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The user. The attempt counts.
    User,
    /// The sign-in. The attempt does not count, and the user is sent again.
    SignIn,
}

/// The state that single requests and batches share.
#[derive(Debug)]
pub(super) struct Gate<E> {
    pub(super) exchange: E,
    pub(super) pace: Arc<Pace>,
    pub(super) stop: Stop,
    pub(super) contact: Contact,
    pub(super) refusals: Refusals,
    /// Number of users that are sent or wait to be sent.
    pub(super) at_work: AtomicUsize,
}

/// The permission to send now.
pub(super) struct Departure<P> {
    pub(super) ticket: Ticket,
    pub(super) pass: P,
    /// Number of the request, in the order of sending.
    pub(super) request: u64,
}

/// Counts a user until it is dropped.
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

/// Whether a response may be caused by the sign-in and not by the user.
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

    /// Records what a response means for the sign-in, before the next request may be sent. `counted`: see
    /// [`Refusals::answered`].
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

    /// Checks whether a token is accepted: by the responses to requests in flight, otherwise by a request for
    /// this purpose.
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

    /// Waits for the permission to send up to `parts` parts together. `None` if the run stops first.
    pub(super) async fn leave(&self, parts: usize) -> Option<Departure<E::Pass>> {
        // If the permission is available immediately, one look at the stop is enough.
        tokio::select! {
            biased;
            ready = self.ready(parts, false) => ready.filter(|_| self.stop.is_running()),
            () = self.stop.draining() => None,
        }
    }

    /// `checks`: the request checks the token, and all other requests wait for it.
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
            // Fetching the token may have taken a while. Ask for admission again if a pause began in the
            // meantime, or if the wait was so long that the requests waiting for the same token would be sent
            // as a burst. The second check happens once per request; if every token is this slow, it would
            // never pass.
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

    /// Waits until no check of a token is running.
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

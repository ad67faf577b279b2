//! Decides whether the user, the token, the role or a gateway caused a 401 or 403. The order of sending
//! decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::{Attempt, AttemptResult, Reason, TransientFailure};
use crate::stop::StopReason;

/// Different users with a 401 in a row that prove, without a check, that the token is dead.
const UNAUTHORIZED_USERS: usize = 5;
/// Renewed tokens in a row that were dead for that many users. Then the sign-in is dead.
const TOKENS_OF_MANY: u32 = 2;
/// Tokens in a row that only a check found dead. The first may have been revoked in flight, and the second
/// too if tokens are revoked early.
const TOKENS_CHECKED: u32 = 3;
/// Claims challenges for one user, each with another token, that cause a renewal. Further ones are treated as
/// a 401 without a challenge, so that one user cannot cause endless renewals.
const CHALLENGES: u32 = 3;
/// Checks in a row without a result for one user. Then the earlier responses decide, because waiting might
/// never end.
const CHECKS_WITHOUT_ANSWER: u32 = 3;
/// Different users with a 403 from Graph in a row, after others were accepted, that prove that a role or
/// permission ended. The same number as for an outage.
const FORBIDDEN_USERS: usize = 20;
/// Different users that a gateway rejected before the first response of Graph. The same number as for 403s of
/// Graph.
const BARRED_USERS: usize = 5;

/// The state of the sign-in, derived from the responses so far.
#[derive(Debug)]
pub(super) struct Refusals {
    state: Mutex<State>,
    /// Wakes the tasks that wait for a decision.
    moved: Notify,
}

/// The order of sending: the number of the request, and the place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SendOrder {
    pub(super) request: u64,
    pub(super) part: usize,
}

/// What the gate must do after a response.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Nothing,
    /// The token is dead and must not be used any more.
    Reject,
    /// A 401 without further evidence. The token must be checked, and nothing is sent before. Holds the
    /// number of the check.
    Check(u64),
    /// A role may have ended. A renewed token decides.
    Renew,
    /// The run must stop.
    Stop(StopReason),
}

/// The cause of a 401 or 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalVerdict {
    /// The user. The attempt counts.
    User,
    /// The token or the role. The attempt does not count, and the user is sent again.
    SignIn,
    /// Unknown. The user is sent again after a delay.
    Unknown,
    /// A later response decides.
    Undecided,
    /// A later response decides. If there is none, the user is the cause.
    UnlessAlone,
}

/// Different users rejected in a row, in order of sending.
#[derive(Debug, Default)]
struct Streak {
    /// Users with the place of their latest rejection.
    users: HashMap<u64, SendOrder>,
    /// The latest request with another response.
    answered: SendOrder,
}

impl Streak {
    /// Counts a rejection unless a later request had another response.
    fn refused(&mut self, user: u64, sent: SendOrder) {
        if !self.is_over(sent) {
            self.users.insert(user, sent);
        }
    }

    fn answered(&mut self, sent: SendOrder) {
        self.answered = self.answered.max(sent);
        self.users.retain(|_, refused| *refused > sent);
    }

    /// Whether a request sent later had another response.
    fn is_over(&self, sent: SendOrder) -> bool {
        self.answered > sent
    }

    fn is_of_several_requests(&self) -> bool {
        let mut requests = self.users.values().map(|sent| sent.request);
        let first = requests.next();
        requests.any(|other| Some(other) != first)
    }
}

/// The renewal that distinguishes an ended role from an outdated token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Renewal {
    #[default]
    No,
    Running,
    /// There is a newer token, and no user has been accepted with it yet.
    Done,
}

#[derive(Debug, Default)]
struct State {
    /// Number of requests so far.
    requests: u64,
    /// Parts that are in flight.
    pending: usize,
    /// Newest token of a request with a response.
    generation: u64,
    /// Newest token that is known to be dead; 0 means none.
    dead: u64,
    dead_in_a_row: u32,
    /// 401s with the newest token.
    unauthorized: Streak,
    /// The check that is running; 0 means none. Nothing else is sent during a check.
    doubt: u64,
    checks: u64,
    /// Users whose 401 a check did not decide, and how often in a row.
    unknown: HashMap<u64, u32>,
    /// Users whose 401 or 403 is not decided: their place and token.
    open: HashMap<u64, (SendOrder, u64)>,
    /// Users with claims challenges: the last token, and the number of tokens.
    challenged: HashMap<u64, (u64, u32)>,
    /// Whether 403s of Graph wait until it is known that no role ended.
    holds_forbidden: bool,
    accepted: bool,
    forbidden: Streak,
    renewal: Renewal,
    /// The latest request when a token was renewed because of a role.
    renewed_at: u64,
    /// Users that a gateway rejected before the first response of Graph; `None` after that.
    barred: Option<HashSet<u64>>,
}

impl Refusals {
    /// The state before the first response.
    pub(super) fn new() -> Self {
        let state = State { barred: Some(HashSet::new()), ..State::default() };
        Self { state: Mutex::new(state), moved: Notify::new() }
    }

    /// From now on users with a 403 of Graph wait until it is known whether a role ended.
    pub(super) fn hold_forbidden(&self, accepted_before: bool) {
        let mut state = self.state();
        state.holds_forbidden = true;
        state.accepted |= accepted_before;
    }

    /// Records that a request with `parts` users is sent now. Returns its number.
    pub(super) fn sent(&self, parts: usize) -> u64 {
        let mut state = self.state();
        state.requests += 1;
        state.pending += parts;
        state.requests
    }

    /// Records a response for `user` to the request at this place. `counted` is the user for whom it counts:
    /// that of the first part if a batch failed as a whole.
    pub(super) fn answered(&self, sent: SendOrder, user: u64, counted: u64, attempt: &Attempt) -> Action {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(1);
        let action = state.answered(sent, user, counted, attempt);
        drop(state);
        self.moved.notify_waiters();
        action
    }

    /// Records the response to the check with this number; `None` if there was none in time.
    pub(super) fn checked(&self, check: u64, sent: SendOrder, attempt: Option<&Attempt>) -> Action {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(1);
        let action = attempt.map_or(Action::Nothing, |attempt| state.checked(sent, attempt));
        if state.doubt == check {
            state.doubt = 0;
        }
        drop(state);
        self.moved.notify_waiters();
        action
    }

    /// Records whether the renewal for a role gave a newer token. Without one the role has ended.
    pub(super) fn renewed(&self, newer: bool, attempt: &Attempt) -> Action {
        let mut state = self.state();
        state.forbidden = Streak { users: HashMap::new(), ..state.forbidden };
        let action = match newer {
            true => {
                (state.renewal, state.renewed_at) = (Renewal::Done, state.requests);
                Action::Nothing
            }
            false => Action::Stop(StopReason::SignIn(role_ended("no newer token was given", attempt))),
        };
        drop(state);
        self.moved.notify_waiters();
        action
    }

    /// Whether a check is running, so that nothing may be sent.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.state().doubt != 0
    }

    /// Whether the check with this number is still needed, and whether a request in flight may make it
    /// unnecessary.
    pub(super) fn awaits(&self, check: u64) -> (bool, bool) {
        let state = self.state();
        (state.doubt == check, state.pending > 0)
    }

    /// The cause of the 401 or 403 of a user, as far as it is known, and what the gate must do.
    pub(super) fn verdict(&self, user: u64, attempt: &Attempt) -> (RefusalVerdict, Action) {
        let mut state = self.state();
        let mut verdict = state.verdict(user, attempt);
        let mut action = Action::Nothing;
        if verdict == RefusalVerdict::Unknown && state.is_unknown_for_good(user) {
            if state.unauthorized.answered > SendOrder::default() {
                // The token was accepted before, and there is no evidence that it is dead.
                verdict = RefusalVerdict::User;
            } else {
                verdict = RefusalVerdict::SignIn;
                action = state.dies(attempt, TOKENS_CHECKED);
            }
        }
        if !matches!(verdict, RefusalVerdict::Undecided | RefusalVerdict::UnlessAlone) {
            state.open.remove(&user);
        }
        (verdict, action)
    }

    /// Returns at the next response.
    pub(super) fn moved(&self) -> tokio::sync::futures::Notified<'_> {
        self.moved.notified()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Code that holds the lock cannot panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answered(&mut self, sent: SendOrder, user: u64, counted: u64, attempt: &Attempt) -> Action {
        let generation = attempt.token_generation;
        if generation > self.generation {
            self.generation = generation;
            self.unauthorized = Streak::default();
            self.doubt = 0;
        }
        match &attempt.kind {
            AttemptResult::Unauthorized { claims } => {
                self.open.insert(user, (sent, generation));
                if claims.is_some() && self.challenged(user, generation) <= CHALLENGES {
                    return Action::Reject;
                }
                self.unauthorized(sent, counted, attempt)
            }
            AttemptResult::Rejected(Reason::NoPermission) => {
                self.lives(sent, generation);
                self.barred = None;
                self.forbidden(sent, user, counted, attempt)
            }
            AttemptResult::Accepted | AttemptResult::Rejected(_) | AttemptResult::Busy => {
                self.lives(sent, generation);
                self.challenged.remove(&user);
                self.barred = None;
                self.forbidden.answered(sent);
                if attempt.kind == AttemptResult::Accepted {
                    self.accepted = true;
                    if sent.request > self.renewed_at && self.renewal == Renewal::Done {
                        self.renewal = Renewal::No;
                    }
                }
                Action::Nothing
            }
            AttemptResult::Transient(TransientFailure::NotGraph) if attempt.status == Some(403) => {
                let Some(barred) = &mut self.barred else { return Action::Nothing };
                barred.insert(counted);
                match barred.len() >= BARRED_USERS {
                    true => Action::Stop(StopReason::SignIn(not_graphs(attempt))),
                    false => Action::Nothing,
                }
            }
            AttemptResult::Transient(_) | AttemptResult::Throttled(_) => Action::Nothing,
        }
    }

    fn checked(&mut self, sent: SendOrder, attempt: &Attempt) -> Action {
        let generation = attempt.token_generation;
        match &attempt.kind {
            AttemptResult::Unauthorized { claims } if claims.is_some() => Action::Reject,
            AttemptResult::Unauthorized { .. } if generation == self.generation && generation > self.dead => {
                self.dies(attempt, TOKENS_CHECKED)
            }
            AttemptResult::Unauthorized { .. } => Action::Nothing,
            // A request that Graph rejects for another reason had a valid token.
            AttemptResult::Accepted | AttemptResult::Rejected(_) | AttemptResult::Busy => {
                self.lives(sent, generation);
                Action::Nothing
            }
            AttemptResult::Transient(_) | AttemptResult::Throttled(_) => Action::Nothing,
        }
    }

    /// Graph accepted the token, so earlier 401s were about their own users.
    fn lives(&mut self, sent: SendOrder, generation: u64) {
        if generation == self.generation && generation > self.dead {
            self.unauthorized.answered(sent);
            self.dead_in_a_row = 0;
            if self.unauthorized.users.is_empty() {
                self.doubt = 0;
            }
        }
    }

    fn dies(&mut self, attempt: &Attempt, most: u32) -> Action {
        self.dead = attempt.token_generation;
        self.dead_in_a_row += 1;
        self.unauthorized = Streak::default();
        self.doubt = 0;
        self.unknown.clear();
        match self.dead_in_a_row >= most {
            true => Action::Stop(StopReason::SignIn(dead(self.dead_in_a_row, attempt))),
            false => Action::Reject,
        }
    }

    fn unauthorized(&mut self, sent: SendOrder, counted: u64, attempt: &Attempt) -> Action {
        let generation = attempt.token_generation;
        if generation < self.generation || generation <= self.dead || self.unauthorized.is_over(sent) {
            return Action::Nothing;
        }
        self.unauthorized.refused(counted, sent);
        if self.unauthorized.users.len() >= UNAUTHORIZED_USERS && self.unauthorized.is_of_several_requests() {
            return self.dies(attempt, TOKENS_OF_MANY);
        }
        if self.doubt != 0 {
            return Action::Nothing;
        }
        self.checks += 1;
        self.doubt = self.checks;
        Action::Check(self.doubt)
    }

    /// Number of tokens with a claims challenge for the user.
    fn challenged(&mut self, user: u64, generation: u64) -> u32 {
        let (last, tokens) = self.challenged.entry(user).or_default();
        if generation > *last {
            (*last, *tokens) = (generation, *tokens + 1);
        }
        *tokens
    }

    fn forbidden(&mut self, sent: SendOrder, user: u64, counted: u64, attempt: &Attempt) -> Action {
        if !self.holds_forbidden || !self.accepted {
            return Action::Nothing;
        }
        self.open.insert(user, (sent, attempt.token_generation));
        if sent.request <= self.renewed_at {
            return Action::Nothing;
        }
        self.forbidden.refused(counted, sent);
        if self.forbidden.users.len() < FORBIDDEN_USERS {
            return Action::Nothing;
        }
        match self.renewal {
            Renewal::No => {
                self.renewal = Renewal::Running;
                Action::Renew
            }
            Renewal::Running => Action::Nothing,
            Renewal::Done => {
                Action::Stop(StopReason::SignIn(role_ended("also with a renewed token", attempt)))
            }
        }
    }

    /// Counts a check without a result for the user. Returns whether it was the last one.
    fn is_unknown_for_good(&mut self, user: u64) -> bool {
        let checks = self.unknown.entry(user).or_default();
        *checks += 1;
        *checks >= CHECKS_WITHOUT_ANSWER
    }

    fn verdict(&self, user: u64, attempt: &Attempt) -> RefusalVerdict {
        let Some((sent, generation)) = self.open.get(&user).copied() else {
            return if matches!(attempt.kind, AttemptResult::Unauthorized { .. }) {
                RefusalVerdict::SignIn
            } else {
                RefusalVerdict::User
            };
        };
        match &attempt.kind {
            AttemptResult::Unauthorized { claims } => {
                let challenges = self.challenged.get(&user).map_or(0, |(_, tokens)| *tokens);
                if claims.is_some() && challenges <= CHALLENGES
                    || generation < self.generation
                    || generation <= self.dead
                {
                    RefusalVerdict::SignIn
                } else if self.unauthorized.is_over(sent) {
                    RefusalVerdict::User
                } else if self.doubt != 0 {
                    RefusalVerdict::Undecided
                } else {
                    RefusalVerdict::Unknown
                }
            }
            _ if sent.request <= self.renewed_at => RefusalVerdict::SignIn,
            _ if self.forbidden.is_over(sent) => RefusalVerdict::User,
            _ if self.renewal == Renewal::Running => RefusalVerdict::Undecided,
            _ => RefusalVerdict::UnlessAlone,
        }
    }
}

/// The text of a response, for a message.
fn said(attempt: &Attempt) -> String {
    [&*attempt.code, &*attempt.message]
        .map(str::trim)
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

fn dead(tokens: u32, attempt: &Attempt) -> String {
    format!(
        "every request is rejected with 401, with {tokens} tokens one after the other. The answer says: {}. If it does not come \
         from Microsoft Graph, ask the administrators of the gateway or proxy that sends it. Otherwise check with reprovision \
         doctor that the app or account is enabled and signs in to this cloud. Then run the same command again",
        said(attempt)
    )
}

fn role_ended(how: &str, attempt: &Attempt) -> String {
    format!(
        "your role or permission ended: users were accepted before, and the last {FORBIDDEN_USERS} were rejected with 403, {how} \
         ({}). They have no record. Activate the role again (PIM), or have an administrator consent again, and run the same \
         command; to record them as failed instead, add --max-failures 100%",
        said(attempt)
    )
}

fn not_graphs(attempt: &Attempt) -> String {
    format!(
        "the first {BARRED_USERS} requests were rejected with 403 by something that is not Microsoft Graph: a gateway, proxy or \
         firewall between here and there. It says: {}. Ask its administrators to let this machine reach Microsoft Graph, \
         then run the same command again",
        said(attempt)
    )
}

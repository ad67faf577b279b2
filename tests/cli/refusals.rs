//! 401s and 403s under a paused clock: whose they are, when a token is renewed, and who gets a record.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reprovision::engine::dispatch::{Dispatch, Exchange, ReadRequest, Reads};
use reprovision::graph::{BatchPart, ReadResponse};
use reprovision::model::{Attempt, AttemptResult, Item, Outcome, Reason, Record, TransientFailure, UserId};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::stop::{Stop, StopReason};
use tokio::sync::mpsc;
use tokio::time::sleep;
use url::Url;

use crate::pool_support::{self, user};

/// An answer takes so long.
const LATENCY: Duration = Duration::from_millis(100);
const UNAUTHORIZED: AttemptResult = AttemptResult::Unauthorized { claims: None };
const FORBIDDEN: AttemptResult = AttemptResult::Rejected(Reason::NoPermission);
/// More than any of these runs takes.
const LONG: Duration = Duration::from_secs(600);

/// What a request is answered: by its number among all, its user and its token.
type Script = Box<dyn Fn(u64, u64, u64) -> AttemptResult + Send + Sync>;

/// A service whose tokens are numbers.
struct Service {
    script: Script,
    /// Answer to a check, by token.
    check: Box<dyn Fn(u64) -> AttemptResult + Send + Sync>,
    /// Tokens that the sign-in host gives in all.
    tokens: u64,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    token: AtomicU64,
    rejected: AtomicU64,
    sent: AtomicU64,
    checks: AtomicU64,
    /// Users in order of sending.
    users: Mutex<Vec<u64>>,
}

impl Service {
    fn number(id: &UserId) -> u64 {
        id.as_str().trim_start_matches("user").split('@').next().and_then(|n| n.parse().ok()).expect("user1@")
    }

    fn judge(&self, user: u64, token: u64) -> Attempt {
        self.state.users.lock().expect("no panic holds it").push(user);
        let number = self.state.sent.fetch_add(1, Relaxed) + 1;
        let kind = (self.script)(number, user, token);
        let status =
            if kind == AttemptResult::Transient(TransientFailure::NotGraph) { Some(403) } else { None };
        let message = if kind == AttemptResult::Accepted { "" } else { "words of the service" };
        Attempt {
            token_generation: token,
            latency: LATENCY,
            status,
            message: message.into(),
            ..Attempt::of(kind)
        }
    }
}

impl Exchange for Service {
    type Pass = u64;

    async fn prepare(&self) -> Result<u64, String> {
        let token = self.state.token.load(Relaxed);
        if self.state.rejected.load(Relaxed) < token {
            return Ok(token);
        }
        if token >= self.tokens {
            return Err("no newer token".to_owned());
        }
        self.state.token.store(token + 1, Relaxed);
        Ok(token + 1)
    }

    async fn send(&self, token: &u64, id: &UserId) -> Attempt {
        let answer = self.judge(Self::number(id), *token);
        sleep(LATENCY).await;
        answer
    }

    async fn send_batch(&self, token: &u64, ids: &[UserId]) -> Vec<BatchPart> {
        let parts = ids.iter().map(|id| BatchPart::Answered(self.judge(Self::number(id), *token))).collect();
        sleep(LATENCY).await;
        parts
    }

    fn rejected(&self, attempt: &Attempt) {
        self.state.rejected.fetch_max(attempt.token_generation, Relaxed);
    }

    async fn check(&self, token: &u64) -> Attempt {
        self.state.checks.fetch_add(1, Relaxed);
        sleep(LATENCY).await;
        let kind = (self.check)(*token);
        Attempt { token_generation: *token, message: "words of the service".into(), ..Attempt::of(kind) }
    }

    async fn renew(&self, attempt: &Attempt) -> bool {
        sleep(LATENCY).await;
        let token = self.state.token.load(Relaxed);
        if token <= attempt.token_generation && token < self.tokens {
            self.state.token.store(token + 1, Relaxed);
        }
        self.state.token.load(Relaxed) > attempt.token_generation
    }
}

impl Reads for Service {
    async fn get(&self, token: &u64, url: &Url) -> ReadResponse {
        let user = url.path().trim_start_matches('/').parse().expect("a number");
        let attempt = self.judge(user, *token);
        sleep(LATENCY).await;
        ReadResponse { attempt, body: Vec::new(), date: None, of_whole: false }
    }

    async fn get_batch(&self, token: &u64, paths: &[String]) -> Vec<ReadResponse> {
        let read = |path: &String| {
            let attempt = self.judge(path.parse().expect("a number"), *token);
            ReadResponse { attempt, body: Vec::new(), date: None, of_whole: false }
        };
        let readings = paths.iter().map(read).collect();
        sleep(LATENCY).await;
        readings
    }
}

struct Ran {
    records: Vec<Record>,
    state: Arc<State>,
    stop: Stop,
}

impl Ran {
    fn outcome(&self, row: u64) -> Option<(Outcome, Option<Reason>)> {
        let record = self.records.iter().find(|record| record.row == row)?;
        Some((record.outcome, record.reason))
    }

    fn accepted(&self) -> usize {
        self.records.iter().filter(|record| record.outcome == Outcome::Accepted).count()
    }

    fn sent(&self, user: u64) -> usize {
        self.state.users.lock().expect("no panic holds it").iter().filter(|sent| **sent == user).count()
    }

    fn tokens(&self) -> u64 {
        self.state.token.load(Relaxed)
    }

    fn why(&self) -> String {
        match &self.stop.reasons()[..] {
            [StopReason::SignIn(text)] => text.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn lives(_: u64) -> AttemptResult {
    AttemptResult::Accepted
}

fn is_dead(_: u64) -> AttemptResult {
    UNAUTHORIZED
}

struct Setup {
    users: u64,
    concurrency: usize,
    batch: usize,
    tokens: u64,
    holds_forbidden: bool,
}

const SETUP: Setup = Setup { users: 40, concurrency: 32, batch: 1, tokens: 1_000, holds_forbidden: true };

fn service(
    tokens: u64,
    check: impl Fn(u64) -> AttemptResult + Send + Sync + 'static,
    script: impl Fn(u64, u64, u64) -> AttemptResult + Send + Sync + 'static,
) -> (Service, Arc<State>) {
    let state = Arc::new(State::default());
    state.token.store(1, Relaxed);
    (Service { script: Box::new(script), check: Box::new(check), tokens, state: state.clone() }, state)
}

async fn run(
    setup: Setup,
    check: impl Fn(u64) -> AttemptResult + Send + Sync + 'static,
    script: impl Fn(u64, u64, u64) -> AttemptResult + Send + Sync + 'static,
) -> Ran {
    let (service, state) = service(setup.tokens, check, script);
    let stop = Stop::new();
    let group = u32::try_from(setup.batch).expect("small");
    let pace = Pace::new(RateController::Fixed, Bounds { rate: 1_000.0, group, ..Bounds::default() }, None);
    let (feed, rows) = mpsc::channel(16);
    tokio::spawn(async move {
        for number in 1..=setup.users {
            if feed.send(Item::Send(user(number))).await.is_err() {
                return;
            }
        }
    });
    let dispatch = Dispatch::batched(service, pace, stop.clone(), setup.batch);
    if setup.holds_forbidden {
        dispatch.hold_forbidden(false);
    }
    let working = pool_support::work(rows, dispatch, 6, setup.concurrency, &stop);
    let records = tokio::time::timeout(LONG, working).await.expect("it ends");
    Ran { records, state, stop }
}

#[tokio::test(start_paused = true)]
async fn single_user_with_401_is_unauthorized_and_others_are_served() {
    // Alone, side by side, in batches; the only user, the last one, one in the middle; a sign-in that can renew or not.
    for (concurrency, batch) in [(1, 1), (32, 1), (64, 20)] {
        for (users, refused) in [(1, 1), (40, 40), (40, 1), (40, 20)] {
            for tokens in [1, 1_000] {
                let setup = Setup { users, concurrency, batch, tokens, ..SETUP };
                let ran = run(setup, lives, move |_, user, _| match user == refused {
                    true => UNAUTHORIZED,
                    false => AttemptResult::Accepted,
                })
                .await;
                let case = format!("{concurrency} {batch} {users} {refused} {tokens}");
                assert_eq!(ran.stop.reasons(), [], "{case}");
                let failed = (Outcome::Failed, Some(Reason::Unauthorized));
                assert_eq!(ran.outcome(refused), Some(failed), "{case}");
                assert_eq!(ran.accepted() as u64, users - 1, "{case}");
                assert_eq!(ran.sent(refused), 3, "{case}");
                assert_eq!(ran.tokens(), 1, "no renewal: {case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn passing_401_is_sent_again_without_renewal() {
    for (concurrency, batch, passing) in [(1, 1, 1..=1), (32, 1, 7..=7), (32, 1, 40..=40), (32, 20, 1..=20)] {
        let case = format!("{concurrency} {batch} {passing:?}");
        let setup = Setup { concurrency, batch, tokens: 1, ..SETUP };
        let ran = run(setup, lives, move |number, _, _| match passing.contains(&number) {
            true => UNAUTHORIZED,
            false => AttemptResult::Accepted,
        })
        .await;
        assert_eq!((ran.accepted(), ran.stop.reasons()), (40, vec![]), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn dead_token_fails_no_user() {
    for (concurrency, batch) in [(1, 1), (32, 1), (32, 20)] {
        // In the middle, with three users left, at the last one, from the start.
        for last_served in [20, 37, 39, 0] {
            let case = format!("{concurrency} {batch} {last_served}");
            let script = move |number: u64, _: u64, token: u64| match token == 1 && number > last_served {
                true => UNAUTHORIZED,
                false => AttemptResult::Accepted,
            };
            let check = |token| if token == 1 { UNAUTHORIZED } else { AttemptResult::Accepted };
            let ran = run(Setup { concurrency, batch, ..SETUP }, check, script).await;
            assert_eq!((ran.accepted(), ran.stop.reasons()), (40, vec![]), "{case}");
            assert_eq!(ran.tokens(), 2, "one renewal: {case}");
            let ran = run(Setup { concurrency, batch, tokens: 1, ..SETUP }, check, script).await;
            assert_eq!(ran.why(), "no newer token", "{case}");
            assert_eq!(ran.accepted(), ran.records.len(), "nobody failed: {case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_with_a_dead_token_are_those_in_flight_and_one_check() {
    let script = |_: u64, user: u64, token: u64| {
        if token == 1 && user > 20 { UNAUTHORIZED } else { AttemptResult::Accepted }
    };
    let check = |token| if token == 1 { UNAUTHORIZED } else { AttemptResult::Accepted };
    for concurrency in [1, 4, 32] {
        let ran = run(Setup { concurrency, ..SETUP }, check, script).await;
        let again = ran.state.sent.load(Relaxed) - 40;
        assert!(again <= concurrency as u64, "{again} of {concurrency}");
        assert!(ran.state.checks.load(Relaxed) <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_new_tokens_end_the_run_without_a_renewal_loop() {
    for (concurrency, batch, users) in [(1, 1, 40), (32, 1, 40), (32, 20, 40), (32, 1, 3), (1, 1, 1)] {
        let setup = Setup { concurrency, batch, users, ..SETUP };
        let ran = run(setup, is_dead, |_, _, _| UNAUTHORIZED).await;
        let case = format!("{concurrency} {batch} {users}");
        assert!(ran.why().contains("every request is rejected with 401"), "{case}");
        assert!(ran.why().contains("words of the service"), "{case}: {}", ran.why());
        assert!(ran.records.is_empty(), "{case}");
        assert!(ran.tokens() <= 3, "{} tokens: {case}", ran.tokens());
    }
}

#[tokio::test(start_paused = true)]
async fn inconclusive_token_check_falls_back_to_earlier_answers() {
    // A gateway answers what is not a retry.
    let gateway = |_| AttemptResult::Transient(TransientFailure::NotGraph);
    let ran =
        run(SETUP, gateway, |_, user, _| if user == 40 { UNAUTHORIZED } else { AttemptResult::Accepted })
            .await;
    assert_eq!(ran.outcome(40), Some((Outcome::Failed, Some(Reason::Unauthorized))));
    assert_eq!((ran.accepted(), ran.tokens()), (39, 1));
}

#[tokio::test(start_paused = true)]
async fn claims_challenge_renews_token_and_ends_for_one_user() {
    let challenge = || AttemptResult::Unauthorized { claims: Some("{}".into()) };
    let once =
        run(SETUP, lives, move |_, _, token| if token == 1 { challenge() } else { AttemptResult::Accepted })
            .await;
    assert_eq!((once.accepted(), once.tokens()), (40, 2));
    // One user is challenged with every token.
    let ran =
        run(SETUP, lives, move |_, user, _| if user == 7 { challenge() } else { AttemptResult::Accepted })
            .await;
    assert_eq!(ran.outcome(7), Some((Outcome::Failed, Some(Reason::Unauthorized))));
    assert_eq!((ran.accepted(), ran.tokens()), (39, 4));
}

#[tokio::test(start_paused = true)]
async fn lost_role_stops_after_one_renewal_without_records() {
    for (concurrency, batch) in [(1, 1), (4, 1), (32, 1), (32, 20)] {
        for tokens in [1, 1_000] {
            let case = format!("{concurrency} {batch} {tokens}");
            let setup = Setup { users: 400, concurrency, batch, tokens, ..SETUP };
            let ran =
                run(setup, lives, |_, user, _| if user > 100 { FORBIDDEN } else { AttemptResult::Accepted })
                    .await;
            assert!(ran.why().starts_with("your role or permission ended"), "{case}");
            assert!(ran.why().contains("words of the service"), "{case}");
            assert_eq!((ran.accepted(), ran.records.len()), (100, 100), "{case}");
            assert_eq!(ran.tokens(), tokens.min(2), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn outdated_role_claim_is_renewed_and_no_user_fails() {
    let ran = run(Setup { users: 400, ..SETUP }, lives, |_, user, token| match token == 1 && user > 100 {
        true => FORBIDDEN,
        false => AttemptResult::Accepted,
    })
    .await;
    assert_eq!((ran.accepted(), ran.tokens(), ran.stop.reasons()), (400, 2, vec![]));
}

#[tokio::test(start_paused = true)]
async fn single_users_with_403_are_recorded_once() {
    // Every third; nineteen at the end; from the start on.
    let cases: [fn(u64) -> bool; 3] = [|user| user % 3 == 0, |user| user > 81, |user| user < 4];
    for forbidden in cases {
        for (concurrency, batch) in [(1, 1), (32, 1), (32, 20)] {
            let setup = Setup { users: 100, concurrency, batch, ..SETUP };
            let ran = run(
                setup,
                lives,
                move |_, user, _| if forbidden(user) { FORBIDDEN } else { AttemptResult::Accepted },
            )
            .await;
            assert_eq!((ran.records.len(), ran.state.sent.load(Relaxed), ran.tokens()), (100, 100, 1));
            let failed = (1..=100).filter(|user| forbidden(*user)).count();
            assert_eq!((ran.accepted(), ran.stop.reasons()), (100 - failed, vec![]));
        }
    }
    // `--max-failures 100%`: whatever happens is recorded.
    let setup = Setup { users: 100, holds_forbidden: false, ..SETUP };
    let ran =
        run(setup, lives, |_, user, _| if user > 50 { FORBIDDEN } else { AttemptResult::Accepted }).await;
    assert_eq!((ran.records.len(), ran.accepted(), ran.tokens()), (100, 50, 1));
}

#[tokio::test(start_paused = true)]
async fn five_gateway_403s_from_the_start_stop_the_run() {
    let gateway = AttemptResult::Transient(TransientFailure::NotGraph);
    for (concurrency, batch) in [(1, 1), (32, 1), (32, 20)] {
        let (all, later) = (gateway.clone(), gateway.clone());
        let ran = run(Setup { concurrency, batch, ..SETUP }, lives, move |_, _, _| all.clone()).await;
        let why = ran.why();
        assert!(why.contains("not Microsoft Graph") && why.contains("words of the service"), "{why}");
        assert!(ran.records.is_empty());
        // Five of them after Graph's own answer are faults of these users.
        let setup = Setup { concurrency: 1, ..SETUP };
        let ran = run(setup, lives, move |_, user, _| match (2..=6).contains(&user) {
            true => later.clone(),
            false => AttemptResult::Accepted,
        })
        .await;
        assert_eq!((ran.accepted(), ran.stop.reasons()), (35, vec![]));
        assert_eq!(ran.outcome(2), Some((Outcome::Failed, Some(Reason::NotGraph))));
    }
}

fn reads(
    tokens: u64,
    check: impl Fn(u64) -> AttemptResult + Send + Sync + 'static,
    script: impl Fn(u64, u64, u64) -> AttemptResult + Send + Sync + 'static,
) -> (Dispatch<Service>, Arc<State>, Stop) {
    let (service, state) = service(tokens, check, script);
    let stop = Stop::new();
    let pace =
        Pace::new(RateController::Fixed, Bounds { rate: 1_000.0, group: 20, ..Bounds::default() }, None);
    (Dispatch::new(service, pace, stop.clone()), state, stop)
}

#[tokio::test(start_paused = true)]
async fn read_returns_401_only_for_its_own_object() {
    let asked: Vec<_> = (1..=20).map(|number| ReadRequest { number, path: number.to_string() }).collect();
    let url: Url = "http://127.0.0.1/1".parse().expect("a URL");
    let own = |_: u64, user: u64, _: u64| if user == 1 { UNAUTHORIZED } else { AttemptResult::Accepted };
    let (dispatch, state, stop) = reads(1, lives, own);
    let kinds = |readings: Vec<(ReadResponse, _)>| -> Vec<_> {
        readings
            .into_iter()
            .map(|(reading, _): (ReadResponse, reprovision::pace::AttemptFeedback)| reading.attempt.kind)
            .collect()
    };
    let readings = kinds(dispatch.get_batch(&asked).await.expect("read"));
    assert_eq!(
        (readings[0].clone(), readings[1].clone(), readings.len()),
        (UNAUTHORIZED, AttemptResult::Accepted, 20)
    );
    assert_eq!(dispatch.get(1, &url).await.expect("read").0.attempt.kind, UNAUTHORIZED);
    assert_eq!((state.token.load(Relaxed), stop.reasons()), (1, vec![]));
    // A dead token: asked again with the next one, or the end.
    let dead = |_: u64, _: u64, token: u64| if token == 1 { UNAUTHORIZED } else { AttemptResult::Accepted };
    let check = |token| if token == 1 { UNAUTHORIZED } else { AttemptResult::Accepted };
    let (dispatch, state, _) = reads(9, check, dead);
    assert_eq!(kinds(dispatch.get_batch(&asked).await.expect("read")), vec![AttemptResult::Accepted; 20]);
    assert_eq!(state.token.load(Relaxed), 2);
    let (dispatch, _, stop) = reads(1, check, dead);
    assert!(dispatch.get(1, &url).await.is_none());
    assert_eq!(stop.reasons(), [StopReason::SignIn("no newer token".to_owned())]);
}

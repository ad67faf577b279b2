//! Tests of renewal: scripted sources under a paused clock, so that every instant is exact.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::failure::Failure;
use super::host::Grant;
use super::notices::Notices;
use super::source::{Credential, TokenSource};
use super::tokens::Tokens;
use crate::model::WallClock;

pub(super) const TENANT: &str = "00000000-0000-4000-8000-000000000001";
const OTHER: &str = "00000000-0000-4000-8000-000000000002";

/// What the next fetch answers, and when each was asked for.
#[derive(Debug, Clone)]
pub(super) struct Script(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    answers: VecDeque<Result<(Duration, &'static str), Failure>>,
    /// When the answers have run out.
    usual: Result<(Duration, &'static str), Failure>,
    asked: Vec<(Duration, Option<String>)>,
    start: Instant,
    form: Form,
    /// An end by this machine's clock, in seconds since 1970, and the host's clock.
    beside: (Option<i64>, Option<SystemTime>),
}

/// What kind of source it plays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// A new token each time, with its life beside it: a sign-in host.
    Fresh,
    /// One token, which says itself when it ends: a file that nobody writes.
    Written,
    /// One token, and what is left of it beside it: a machine's identity with a cache of its own.
    Cached,
}

impl Script {
    pub(super) fn new(usual: Result<(Duration, &'static str), Failure>) -> Self {
        Self::of(Form::Fresh, usual)
    }

    pub(super) fn of(form: Form, usual: Result<(Duration, &'static str), Failure>) -> Self {
        let state = State {
            answers: VecDeque::new(),
            usual,
            asked: Vec::new(),
            start: Instant::now(),
            form,
            beside: (None, None),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn become_fresh(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).form = Form::Fresh;
    }

    /// What comes beside every token.
    fn beside(&self, ends: Option<i64>, date: SystemTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).beside = (ends, Some(date));
    }

    pub(super) fn then(&self, answer: Result<(Duration, &'static str), Failure>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.push_back(answer);
    }

    pub(super) fn asked_at(&self) -> Vec<f64> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.iter().map(|(at, _)| at.as_secs_f64()).collect()
    }

    fn claims_asked(&self) -> Vec<Option<String>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.iter().map(|(_, claims)| claims.clone()).collect()
    }

    fn next(&self, claims: Option<&str>) -> Result<Grant, Failure> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.start.elapsed();
        state.asked.push((at, claims.map(str::to_owned)));
        let number = state.asked.len();
        let answer = state.answers.pop_front().unwrap_or_else(|| state.usual.clone());
        answer.map(|(life, tenant)| {
            let more = match state.form {
                Form::Fresh => format!(r#""uti":{number}"#),
                // Scripts begin in 1970.
                Form::Written | Form::Cached => format!(r#""exp":{}"#, life.as_secs()),
            };
            let claims = format!(r#"{{"tid":"{tenant}","appid":"a",{more}}}"#);
            let life = match state.form {
                Form::Fresh => Some(life),
                Form::Written => None,
                Form::Cached => Some(life.saturating_sub(at)),
            };
            let (ends, date) = state.beside;
            Grant { life, ends, date, ..Grant::bare(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims))) }
        })
    }
}

impl Credential for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn fetch<'a>(&'a self, claims: Option<&'a str>) -> BoxFuture<'a, Result<Grant, Failure>> {
        async move { self.next(claims) }.boxed()
    }
}

pub(super) fn tokens(script: &Script) -> Tokens {
    tokens_by(script, WallClock::anchored(Timestamp::UNIX_EPOCH))
}

pub(super) fn tokens_by(script: &Script, wall: WallClock) -> Tokens {
    let tokens = Tokens::with_clock(TokenSource::new(script.clone()), false, Notices::silent(), wall);
    tokens.expect("--tenant", TENANT, TENANT.to_owned()).expect("no token yet");
    tokens
}

/// A wall clock that begins in 1970, moves with tokio's clock, and is set by a number of seconds.
pub(super) fn clock() -> (WallClock, Arc<AtomicI64>) {
    let by = Arc::new(AtomicI64::new(0));
    let (anchored, set) = (WallClock::anchored(Timestamp::UNIX_EPOCH), by.clone());
    let now = move || anchored.now() + SignedDuration::from_secs(set.load(Relaxed));
    (WallClock::Function(Arc::new(now)), by)
}

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn ten_lives_with_64_workers_are_one_request_each_and_no_token_is_used_at_its_end() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    let worker = |number: u64| {
        let tokens = tokens.clone();
        async move {
            sleep(Duration::from_millis(number)).await;
            let end = Instant::now() + HOUR * 10;
            while Instant::now() < end {
                tokens.current().await.expect("a token");
                sleep(Duration::from_secs(10)).await;
            }
        }
    };
    futures::future::join_all((0..64).map(worker)).await;
    // Renewed five minutes before the end: every 55 minutes, by the first who comes within ten seconds.
    let asked: Vec<u64> = script.asked_at().iter().map(|at| *at as u64 / 10).collect();
    assert_eq!(asked, (0..11).map(|life| life * 330).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_failing_renewal_is_tried_again_while_the_old_token_lives_and_holds_up_nobody() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    let first = tokens.current().await.expect("a token");
    for _ in 0..4 {
        script.then(Err(Failure::passing("busy")));
    }
    sleep(Duration::from_secs(3_300)).await;
    for _ in 0..60 {
        let before = Instant::now();
        let token = tokens.current().await.expect("the old one lives");
        assert_eq!(before, Instant::now(), "nobody waits");
        if token.generation > first.generation {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(tokens.current().await.expect("a token").generation, 2);
    assert_eq!(script.asked_at(), [0.0, 3_300.0, 3_301.0, 3_303.0, 3_307.0, 3_315.0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_newer_one_the_end_of_the_token_is_the_end() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    for _ in 0..100 {
        script.then(Err(Failure::passing("the sign-in host is busy")));
    }
    sleep(HOUR - Duration::from_secs(30)).await;
    let error = tokens.current().await.expect_err("no token");
    assert_eq!(error, "the sign-in host is busy");
    // At once, then after 1, 2, 4 and 8 s; 16 s more would be after the end.
    assert_eq!(script.asked_at(), [0.0, 3_570.0, 3_571.0, 3_573.0, 3_577.0, 3_585.0]);
}

#[tokio::test(start_paused = true)]
async fn a_short_life_is_used_to_its_last_twentieth() {
    let script = Script::new(Ok((Duration::from_secs(100), TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    for _ in 0..4 {
        script.then(Err(Failure::passing("busy")));
    }
    sleep(Duration::from_millis(500)).await;
    for _ in 0..189 {
        let before = Instant::now();
        assert_eq!(tokens.current().await.expect("the old one lives").generation, 1);
        assert_eq!(before, Instant::now(), "nobody waits");
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(tokens.current().await.expect("a token").generation, 2);
    // From a fifth before its end; its last five seconds are too short for a request.
    assert_eq!(script.asked_at(), [0.0, 80.0, 81.0, 83.0, 87.0, 95.0]);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_person_can_mend_ends_at_once() {
    let script = Script::new(Err(Failure::Final("AADSTS7000222".to_owned())));
    assert_eq!(tokens(&script).current().await.expect_err("no token"), "AADSTS7000222");
    assert_eq!(script.asked_at(), [0.0]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_host_asks_for_is_kept_and_a_410_is_waited_for_longer() {
    let script = Script::new(Ok((HOUR, TENANT)));
    script.then(Err(Failure::Passing {
        text: "429".to_owned(),
        after: Some(Duration::from_secs(9)),
        patience: Duration::from_secs(30),
    }));
    tokens(&script).current().await.expect("a token");
    assert_eq!(script.asked_at(), [0.0, 9.0]);
    let gone = Failure::Passing { text: "410".to_owned(), after: None, patience: Duration::from_secs(70) };
    let script = Script::new(Err(gone));
    tokens(&script).current().await.expect_err("no token");
    assert_eq!(script.asked_at(), [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0]);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_go_on_keeps_a_wait_that_was_asked_for_and_no_pause_of_our_own() {
    let asked = |seconds| Failure::Passing {
        text: "429".to_owned(),
        after: Some(Duration::from_secs(seconds)),
        patience: Duration::from_secs(30),
    };
    // Due at 80 s, of no use from 95 s. A wait that is too long for anybody is tried once before the end.
    for (wait, then) in [(30, vec![0.0, 80.0, 110.0]), (400, vec![0.0, 80.0, 95.0])] {
        let script = Script::new(Ok((Duration::from_secs(100), TENANT)));
        let tokens = tokens(&script);
        tokens.current().await.expect("a token");
        script.then(Err(asked(wait)));
        sleep(Duration::from_secs(80)).await;
        tokens.current().await.expect("the old one");
        sleep(Duration::from_secs(15)).await;
        assert_eq!(tokens.current().await.expect("a token").generation, 2);
        assert_eq!(script.asked_at(), then);
    }
    let script = Script::new(Ok((Duration::from_secs(1_000), TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    for _ in 0..11 {
        script.then(Err(Failure::passing("busy")));
    }
    sleep(Duration::from_secs(799)).await;
    for _ in 0..170 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(tokens.current().await.expect("the old one").generation, 1);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(tokens.current().await.expect("a token").generation, 2);
    let beside = [800.0, 801.0, 803.0, 807.0, 815.0, 831.0, 861.0, 891.0, 921.0, 951.0];
    let asked: Vec<_> = [0.0].into_iter().chain(beside).chain([970.0, 971.0]).collect();
    assert_eq!(script.asked_at(), asked, "not at 981 s, which would have been next beside the work");
}

#[tokio::test(start_paused = true)]
async fn after_a_401_all_wait_for_one_renewal() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    let first = tokens.current().await.expect("a token");
    tokens.reject(first.generation, None);
    let all = futures::future::join_all((0..64).map(|_| tokens.current())).await;
    assert!(all.iter().all(|token| token.as_ref().is_ok_and(|token| token.generation == 2)));
    tokens.reject(first.generation, None);
    assert_eq!(tokens.current().await.expect("a token").generation, 2, "an older one was refused");
    assert_eq!(script.asked_at(), [0.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_would_have_lived_on_buys_no_time() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.reject(tokens.current().await.expect("a token").generation, None);
    for _ in 0..100 {
        script.then(Err(Failure::passing("the sign-in host is busy")));
    }
    tokens.current().await.expect_err("no token");
    // 16 s more would be after the half minute that such a failure is given.
    assert_eq!(script.asked_at(), [0.0, 0.0, 1.0, 3.0, 7.0, 15.0]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_from_another_tenant_ends_the_run_although_the_old_token_lives() {
    let script = Script::new(Ok((HOUR, OTHER)));
    script.then(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    sleep(Duration::from_secs(3_400)).await;
    tokens.current().await.expect("the old one, while the next is fetched");
    sleep(Duration::from_secs(1)).await;
    let error = tokens.current().await.expect_err("refused");
    assert!(error.contains("wrong tenant") && error.contains(OTHER), "{error}");
}

#[tokio::test(start_paused = true)]
async fn where_no_tenant_was_named_the_first_token_names_it() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let write = |text: &str| std::fs::write(file.path(), text).expect("written");
    let of = |tenant: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(format!(r#"{{"tid":"{tenant}"}}"#)));
    for (next, said) in [(of(OTHER), OTHER), ("opaque".to_owned(), "does not say for which it is")] {
        write(&of(TENANT));
        let tokens = Tokens::new(TokenSource::file(file.path()), false);
        let first = tokens.current().await.expect("a token");
        write(&next);
        tokens.reject(first.generation, None);
        let error = tokens.current().await.expect_err("refused");
        assert!(error.contains("wrong tenant") && error.contains(said), "{error}");
        write(&(of(&TENANT.to_uppercase()) + "y"));
        assert_eq!(tokens.current().await.expect_err("nothing more is given out"), error);
    }
    // The same tenant, and a token that tells after one that did not.
    write("opaque");
    let tokens = Tokens::new(TokenSource::file(file.path()), false);
    for (text, generation) in [(of(TENANT), 1), (of(TENANT) + "y", 2)] {
        assert_eq!(tokens.current().await.expect("a token").generation, generation);
        write(&text);
        tokens.reject(generation, None);
    }
    assert_eq!(tokens.current().await.expect("a token").generation, 3);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_named_later_is_held_against_the_token_at_hand() {
    let tokens = tokens(&Script::new(Ok((HOUR, TENANT))));
    tokens.current().await.expect("a token");
    tokens.expect("--expect-tenant", "contoso.com", TENANT.to_uppercase()).expect("the same");
    tokens.current().await.expect("a token");
    let error = tokens.expect("--expect-tenant", "fabrikam.com", OTHER.to_owned()).expect_err("another");
    assert!(error.contains(TENANT) && error.contains("fabrikam.com"), "{error}");
    assert_eq!(tokens.current().await.expect_err("nothing more is given out"), error);
}

#[tokio::test(start_paused = true)]
async fn a_claims_challenge_is_repeated_once() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
    tokens.reject(tokens.current().await.expect("a token").generation, Some(challenge));
    let second = tokens.current().await.expect("a token");
    assert_eq!(script.claims_asked(), [None, Some(challenge.to_owned())]);
    tokens.reject(second.generation, Some(challenge));
    let error = tokens.current().await.expect_err("the same again");
    assert!(error.contains("same claims challenge twice"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_late_401_of_an_older_token_asks_the_next_for_nothing() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1"}}}"#;
    let first = tokens.current().await.expect("a token");
    tokens.reject(first.generation, Some(challenge));
    tokens.current().await.expect("the second");
    // Sent with the first, answered after the second was there.
    tokens.reject(first.generation, Some(challenge));
    sleep(HOUR).await;
    assert_eq!(tokens.current().await.expect("the third").generation, 3);
    assert_eq!(script.claims_asked(), [None, Some(challenge.to_owned()), None]);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_what_the_giver_says_else_what_the_token_says_by_the_clock_of_the_host() {
    let two_hours = Duration::from_secs(7_200);
    // This machine's clock is ten minutes ahead of the host's: the token lives so much longer by it.
    let host = SystemTime::UNIX_EPOCH - Duration::from_secs(600);
    for (form, ends, renewed) in [
        (Form::Written, Some(3_600), 3_300),
        (Form::Written, None, 7_500),
        // Over already by a clock that is wrong.
        (Form::Written, Some(-1), 7_500),
        (Form::Fresh, Some(3_600), 6_900),
    ] {
        let script = Script::of(form, Ok((two_hours, TENANT)));
        script.beside(ends, host);
        let tokens = tokens(&script);
        while script.asked_at().len() < 2 {
            tokens.current().await.expect("a token");
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(script.asked_at(), [0.0, f64::from(renewed)], "{form:?} {ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_in_a_file_is_waited_for_until_somebody_writes_the_next() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "one").expect("written");
    let tokens = Tokens::new(TokenSource::file(file.path()), false);
    tokens.reject(tokens.current().await.expect("a token").generation, None);
    let (began, path) = (Instant::now(), file.path().to_owned());
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        std::fs::write(path, "two").expect("written");
    });
    let second = tokens.current().await.expect("the next");
    assert_eq!(
        (second.bearer().to_str().ok(), began.elapsed()),
        (Some("Bearer two"), Duration::from_secs(15))
    );
    tokens.reject(second.generation, None);
    let error = tokens.current().await.expect_err("nobody writes");
    assert!(error.starts_with("Microsoft Graph does not accept the token any more"), "{error}");
    assert_eq!(began.elapsed(), Duration::from_secs(30), "half a minute is not waited to its end");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_renews_by_the_wall_clock() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens_by(&script, WallClock::System);
    tokens.current().await.expect("a token");
    // tokio's clock moves on alone here: the other one stands still and does not keep the token alive.
    sleep(HOUR * 2).await;
    assert_eq!(tokens.current().await.expect("a token").generation, 2);
    // The wall clock moves on alone: its anchor lies two hours back.
    let early = WallClock::anchored(Timestamp::UNIX_EPOCH);
    let life = super::token::Life::new(HOUR, Instant::now(), early.now()).expect("a life");
    let later = early.now().checked_add(jiff::SignedDuration::from_hours(2)).expect("a time");
    assert_eq!(life.left(Instant::now(), later), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end_whatever_the_wall_clock_says() {
    let (wall, by) = clock();
    let text = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(r#"{"exp":3600}"#));
    let source = TokenSource::fixed(SecretString::from(text));
    let tokens = Tokens::with_clock(source, false, Notices::silent(), wall);
    tokens.current().await.expect("a token");
    by.store(86_400, Relaxed);
    sleep(HOUR - Duration::from_secs(1)).await;
    assert_eq!(tokens.current().await.expect("it may live").generation, 1);
    by.store(0, Relaxed);
    sleep(Duration::from_secs(1)).await;
    let error = tokens.current().await.expect_err("its life is over");
    assert!(error.contains("REPROVISION_TOKEN"), "{error}");
}

#[tokio::test]
async fn a_rejected_fixed_token_ends_with_a_sentence_and_without_the_token() {
    let tokens = Tokens::new(TokenSource::fixed(SecretString::from("canary-token")), false);
    let token = tokens.current().await.expect("a token");
    tokens.reject(token.generation - 1, None);
    assert!(tokens.current().await.is_ok(), "an older generation was rejected");
    tokens.reject(token.generation, None);
    let error = tokens.current().await.expect_err("not renewable");
    assert!(error.contains("REPROVISION_TOKEN") && !error.contains("canary"), "{error}");
    assert!(!format!("{tokens:?}").contains("canary"));
}

#[tokio::test]
async fn a_file_is_read_again_after_a_401() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "Bearer one\n").expect("written");
    let tokens = Tokens::new(TokenSource::file(file.path()), false);
    assert_eq!(tokens.current().await.expect("a token").bearer(), "Bearer one");
    std::fs::write(file.path(), "two").expect("written");
    assert_eq!(tokens.current().await.expect("a token").bearer(), "Bearer one");
    tokens.reject(1, None);
    assert_eq!(tokens.current().await.expect("a token").bearer(), "Bearer two");
}

#[tokio::test]
async fn a_token_for_microsoft_does_not_leave_in_the_clear_and_odd_ones_do_not_leave_at_all() {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"aud":"https://graph.microsoft.com","tid":"t"}"#);
    let clear = |text: &str| Tokens::new(TokenSource::fixed(SecretString::from(text)), true);
    let error = clear(&format!("e30.{claims}.x")).current().await.expect_err("refused");
    assert!(error.contains("in the clear"), "{error}");
    clear("opaque").current().await.expect("an opaque token may");
    for bad in ["", "two\nlines", "b\u{e4}d", &"x".repeat(20_000)] {
        assert!(clear(bad).current().await.is_err(), "{bad:.20}");
    }
}

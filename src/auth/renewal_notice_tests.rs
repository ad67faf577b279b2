//! Tests of renewal where something is wrong: what is said and how often, and clocks that are set while work
//! goes on.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure::Failure;
use super::renewal_tests::{Form, HOUR, Script, TENANT, clock, tokens, tokens_by};
use super::tokens::Tokens;

/// Looks at the token every ten seconds for so long; how often it changed.
async fn work(tokens: &Tokens, time: Duration) -> u64 {
    let before = tokens.current().await.expect("a token").generation;
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep(Duration::from_secs(10)).await;
        tokens.current().await.expect("a token");
    }
    tokens.current().await.expect("a token").generation - before
}

fn busy(after: Option<u64>) -> Failure {
    Failure::Passing {
        text: "the sign-in host is busy".to_owned(),
        after: after.map(Duration::from_secs),
        patience: Duration::from_secs(30),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_early_renewal_is_said_once_and_so_is_its_end() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    for _ in 0..5 {
        script.then(Err(busy(None)));
    }
    sleep(HOUR - Duration::from_secs(300)).await;
    assert_eq!(tokens.notices(), Vec::<String>::new(), "nothing is wrong yet");
    assert_eq!(work(&tokens, Duration::from_secs(120)).await, 1);
    let said = tokens.notices();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(
        said[0],
        "warning: no new token: the sign-in host is busy\n  the current token is valid for another 300 s. Renewal \
         is retried until then. If it fails, the run stops; run the same command again to resume"
    );
    assert_eq!(said[1], "the sign-in works again: there is a new token");
    // The next trouble is another one.
    script.then(Err(Failure::Final("AADSTS7000222".to_owned())));
    assert_eq!(work(&tokens, HOUR).await, 1);
    let said = tokens.notices();
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[2].contains("no new token: AADSTS7000222"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_lets_go_of_its_token_late_is_no_trouble() {
    let script = Script::of(Form::Cached, Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    sleep(HOUR - Duration::from_secs(300)).await;
    work(&tokens, Duration::from_secs(20)).await;
    script.become_fresh();
    assert_eq!(work(&tokens, Duration::from_secs(60)).await, 1);
    assert_eq!(tokens.notices(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_nobody_writes_is_said_before_its_token_ends() {
    let script = Script::of(Form::Written, Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    sleep(HOUR - Duration::from_secs(300)).await;
    work(&tokens, Duration::from_secs(150)).await;
    assert_eq!(tokens.notices(), Vec::<String>::new(), "somebody may write it yet");
    work(&tokens, Duration::from_secs(90)).await;
    let said = tokens.notices();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("warning: no new token: the token ends soon (after 58 min)"), "{said:?}");
    sleep(Duration::from_secs(50)).await;
    let error = tokens.current().await.expect_err("over");
    assert!(error.starts_with("the token has reached its end (after 59 min)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn trouble_without_end_is_kept_within_bounds() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    for _ in 0..30 {
        script.then(Err(busy(None)));
        work(&tokens, HOUR).await;
    }
    assert_eq!(tokens.notices().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_first_token_is_told_why() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    script.then(Err(busy(None)));
    script.then(Err(busy(None)));
    tokens.current().await.expect("a token");
    assert_eq!(
        tokens.notices(),
        [
            "warning: no new token: the sign-in host is busy\n  nothing is sent meanwhile; trying again for up to 30 s",
            "the sign-in works again: there is a new token"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_busy_sign_in_host_is_asked_once_a_wait_by_64_workers_and_survived() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    for wait in [60, 60] {
        script.then(Err(busy(Some(wait))));
    }
    let all = futures::future::join_all((0..64).map(|_| tokens.current())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(script.asked_at(), [0.0, 60.0, 120.0]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stays_busy_ends_the_run_within_bounds() {
    let script = Script::new(Err(busy(Some(60))));
    let error = tokens(&script).current().await.expect_err("no token");
    assert_eq!(error, "the sign-in host is busy\n  it asks for a pause of 60 s");
    assert_eq!(script.asked_at(), [0.0, 60.0, 120.0]);
    let script = Script::new(Err(busy(Some(3_600))));
    tokens(&script).current().await.expect_err("nobody waits for an hour");
    assert_eq!(script.asked_at(), [0.0]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_early_is_kept_when_the_token_ends_meanwhile() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    tokens.current().await.expect("a token");
    sleep(HOUR - Duration::from_secs(60)).await;
    script.then(Err(busy(Some(100))));
    tokens.current().await.expect("the old one lives");
    sleep(Duration::from_secs(40)).await;
    tokens.current().await.expect("a new one, after the wait");
    assert_eq!(script.asked_at(), [0.0, 3_540.0, 3_640.0]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forwards_costs_one_renewal() {
    let (wall, by) = clock();
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens_by(&script, wall);
    work(&tokens, Duration::from_secs(600)).await;
    by.store(7_200, Relaxed);
    work(&tokens, Duration::from_secs(3_000)).await;
    assert_eq!(script.asked_at(), [0.0, 600.0], "as after a sleep: nobody knows which");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_no_dead_token() {
    let (wall, by) = clock();
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens_by(&script, wall);
    work(&tokens, Duration::from_secs(600)).await;
    by.store(-86_400, Relaxed);
    assert_eq!(work(&tokens, HOUR * 3).await, 3);
    assert_eq!(script.asked_at(), [0.0, 3_300.0, 6_600.0, 9_900.0]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_swings_does_not_renew_without_end() {
    let (wall, by) = clock();
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens_by(&script, wall);
    tokens.current().await.expect("a token");
    for swing in 0..20 {
        by.store(if swing % 2 == 0 { 7_200 } else { 0 }, Relaxed);
        work(&tokens, Duration::from_secs(60)).await;
    }
    // The first step forwards looks like the end of a life; the next token was given under it.
    assert_eq!(script.asked_at(), [0.0, 0.0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_outlives_a_clock_that_is_set() {
    for form in [Form::Written, Form::Cached] {
        let (wall, by) = clock();
        let script = Script::of(form, Ok((HOUR, TENANT)));
        let tokens = tokens_by(&script, wall);
        tokens.current().await.expect("a token");
        sleep(Duration::from_secs(600)).await;
        by.store(7_200, Relaxed);
        assert_eq!(work(&tokens, Duration::from_secs(2_000)).await, 0, "{form:?}");
        assert_eq!(script.asked_at().len(), 2, "{form:?}: asked once whether there is another");
        // It does end, an hour after it was given; a 401 before that would end it too.
        sleep(Duration::from_secs(1_000)).await;
        let error = tokens.current().await.expect_err("it has ended");
        assert!(error.contains("has reached its end"), "{form:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_gets_a_new_token_where_there_is_one_and_learns_by_a_401_where_there_is_none() {
    let (wall, by) = clock();
    let script = Script::of(Form::Written, Ok((HOUR, TENANT)));
    let tokens = tokens_by(&script, wall);
    let first = tokens.current().await.expect("a token");
    // The wall clock alone moves while a machine sleeps.
    by.store(7_200, Relaxed);
    assert_eq!(tokens.current().await.expect("perhaps good").generation, first.generation);
    tokens.reject(first.generation, None);
    let error = tokens.current().await.expect_err("refused");
    assert!(error.contains("does not accept the token any more"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_is_said_once_when_three_answers_agree() {
    let script = Script::new(Ok((HOUR, TENANT)));
    let tokens = tokens(&script);
    let see = |answers: &[i64]| answers.iter().for_each(|ahead| tokens.clock_seen(*ahead));
    see(&[0, 1, -2, 59, -59]);
    // One gateway whose own clock is wrong.
    see(&[900, 0, 900, 900, 0]);
    assert_eq!(tokens.notices(), Vec::<String>::new());
    see(&[900, 901, 902]);
    let said = tokens.notices();
    assert_eq!(
        said,
        [
            "warning: this machine's clock is 15 min ahead of the service's: sign-in fails beyond five minutes; set the clock"
        ]
    );
    see(&[903, 903, 903, 0, 0, 0, -900, -900, -900]);
    assert_eq!(tokens.notices(), said, "said once");
}

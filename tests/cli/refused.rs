//! Refusals over sockets: 401 for one user, a passing one, a gateway, a role that ends, and errors that repeat the token.

use std::collections::BTreeMap;
use std::fs;
use std::process::Output;

use crate::sign_in_support::{Stage, said};

const CALM: &str = "writes_per_second = 0.0\n";

/// How many records of each outcome and reason.
fn outcomes(stage: &Stage) -> BTreeMap<String, usize> {
    let mut reader = csv::Reader::from_path(stage.folder.path().join("out/results.csv")).expect("results");
    let mut found = BTreeMap::new();
    for record in reader.records().map(|record| record.expect("a record")) {
        *found.entry(format!("{} {}", &record[2], &record[3]).trim().to_owned()).or_default() += 1;
    }
    found
}

fn with_token(stage: &Stage, more: &[&str]) -> Output {
    let token = stage.simulator.token();
    let command = [&["run", "users.csv", "--yes", "--out", "out", "--auth", "token", "-vvv"], more].concat();
    stage.program(&command, &[("REPROVISION_TOKEN", &token)]).output().expect("the program runs")
}

#[test]
fn users_with_repeated_401_are_unauthorized_and_exit_is_3() {
    for more in [&[][..], &["--batch", "20"], &["--concurrency", "1"]] {
        let stage = Stage::new(&format!("{CALM}unauthorized = 0.05\n"), 60);
        let output = with_token(&stage, more);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let outcomes = outcomes(&stage);
        let refused = outcomes["failed unauthorized"];
        assert!((1..10).contains(&refused), "{outcomes:?}");
        assert_eq!(outcomes["accepted"], 60 - refused, "{outcomes:?}");
    }
    let stage = Stage::new(&format!("{CALM}unauthorized = 0.05\n"), 60);
    assert_eq!(stage.run("secret", &stage.secret()).status.code(), Some(3));
    assert_eq!(stage.simulator.ledger().tokens, 1, "nothing was renewed");
}

#[test]
fn transient_401_is_sent_again() {
    for number in [1, 7, 20] {
        let stage = Stage::new(&format!("{CALM}unauthorized_once = {number}\n"), 20);
        stage.all_accepted(&with_token(&stage, &[]));
    }
}

#[test]
fn gateway_that_rejects_all_users_is_named_with_its_text() {
    let stage = Stage::new(&format!("{CALM}gateway = \"Access denied by policy WEB-17\"\n"), 40);
    for more in [&[][..], &["--batch", "20"]] {
        let output = with_token(&stage, more);
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        let said = said(&output);
        assert!(
            said.contains("not Microsoft Graph") && said.contains("Access denied by policy WEB-17"),
            "{said}"
        );
        assert!(!said.contains("User.ManageIdentities.All"), "{said}");
    }
}

#[test]
fn users_after_a_lost_role_are_left_to_the_same_command() {
    // One request in flight: with more, a request that was sent later may be accepted before the role ends, and the earlier
    // 403 is rightly recorded as that user's own.
    for more in [&["--concurrency", "1"][..], &["--concurrency", "20", "--batch", "20"]] {
        let stage = Stage::new(&format!("{CALM}role_ends_after = 100\n"), 300);
        let output = with_token(&stage, more);
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        assert!(said(&output).contains("your role or permission ended"), "{}", said(&output));
        assert_eq!(outcomes(&stage), BTreeMap::from([("accepted".to_owned(), 100)]));
        // Again, while it has not come back: nothing changes.
        let output = with_token(&stage, more);
        assert_eq!(output.status.code(), Some(6), "{}", said(&output));
        assert_eq!(outcomes(&stage), BTreeMap::from([("accepted".to_owned(), 100)]));
    }
    let stage = Stage::new(&format!("{CALM}role_ends_after = 100\n"), 300);
    let output = with_token(&stage, &["--max-failures", "100%"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let expected = [("accepted".to_owned(), 100), ("failed no_permission".to_owned(), 200)];
    assert_eq!(outcomes(&stage), BTreeMap::from(expected));
}

#[test]
fn errors_that_echo_the_token_are_redacted() {
    for (rules, more) in [
        ("forbidden = 0.5", &[][..]),
        ("missing = 0.5", &["--batch", "20"]),
        ("poisoned = 0.3", &["--max-attempts", "1"]),
        ("unauthorized = 0.2", &[]),
    ] {
        let stage = Stage::new(&format!("{CALM}echo = true\n{rules}\n"), 40);
        let more = [&["--max-failures", "100%", "--log-file", "log.txt"], more].concat();
        let output = with_token(&stage, &more);
        stage.no_secrets(&output);
        let results = fs::read_to_string(stage.folder.path().join("out/results.csv")).expect("results");
        assert!(
            results.contains("Authorization: Bearer [secret]") || results.contains("[token]"),
            "{results}"
        );
    }
}

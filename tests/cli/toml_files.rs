//! Settings and scenario files of any content: no panic, a place for each mistake, and no secret in a message.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use reprovision::cli;
use reprovision::simulator::{Collection, Scenario, Tenant};

/// Value of the keys that hold secrets.
const SECRET: &str = "s3cr3t-0f-n0-value";
/// Keys of a scenario whose number is a time, an amount or a count, and keys of other types.
const SCENARIO_KEYS: [&str; 24] = [
    "seed",
    "writes_per_second",
    "capacity",
    "refill",
    "window_s",
    "wait_form",
    "throttle_after",
    "throttle_wait_s",
    "latency_ms",
    "outages_s",
    "limits.requests",
    "limits.tenant_writes",
    "limits.others_per_second",
    "faults.wait_503",
    "faults.throttle_429",
    "faults.wait_s",
    "token.life_s",
    "token.revoked_after_s",
    "objects.users",
    "objects.contacts",
    "objects.broken",
    "objects.later_days",
    "objects.effect_s",
    "expect.password",
];
/// Settings of every type, and flags that are not settings.
const SETTINGS: [&str; 14] = [
    "rate",
    "initial-rate",
    "timeout",
    "concurrency",
    "batch",
    "yes",
    "max-failures",
    "verify",
    "object",
    "column",
    "delimiter",
    "older-than",
    "verbose",
    "simulate",
];
/// Keys that hold secrets, settings or not.
const SECRET_KEYS: [&str; 3] = ["token-command", "client-secret", "token"];

/// A TOML value of any type, alone or in lists.
fn value() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}").replace("NaN", "nan")),
        (0.0..1.0_f64).prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "true",
            "inf",
            "-0.0",
            "'window'",
            "'sliding'",
            "'message'",
            "'5m'",
            "'5%'",
            "'users'",
            "''",
            "1979-05-27",
            "\"\\u001b\"",
            "[]",
            "9223372036854775807",
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        3 => one.clone(),
        1 => (one.clone(), one.clone()).prop_map(|(from, to)| format!("[{from}, {to}]")),
        1 => (one.clone(), one).prop_map(|(from, to)| format!("[[{from}, {to}]]")),
    ]
}

/// Lines `key = value`, of which one in five is a secret, with one character inserted, removed or replaced.
fn file(keys: &'static [&'static str], secrets: &'static [&'static str]) -> impl Strategy<Value = String> {
    let secret = prop::sample::select(secrets).prop_map(|key| (key, format!("'{SECRET}'")));
    let line = prop_oneof![4 => (prop::sample::select(keys), value()), 1 => secret];
    let lines = prop::collection::vec(line, 0..4);
    let damage = prop::option::of((any::<prop::sample::Index>(), "[ -~\n\u{e9}]?"));
    (lines, damage).prop_map(|(lines, damage)| {
        let mut text: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        if let Some((at, put)) = damage {
            let mut letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len() + 1);
            letters.splice(at..(at + 1).min(letters.len()), put.chars());
            text = letters.into_iter().collect();
        }
        text
    })
}

/// Runs a scenario for more than a year. If it cannot be read, checks the error: place, one line, no secret.
fn run_or_check_error(text: &str) -> Result<(), String> {
    match Scenario::parse(text) {
        Err(error) => {
            let place = error.strip_prefix("line ").and_then(|rest| rest.split_once(", column "));
            let is_well_formed = place.is_some() && !error.contains('\n') && !error.contains(SECRET);
            if is_well_formed { Ok(()) } else { Err(error) }
        }
        Ok(scenario) => {
            let mut tenant = Tenant::new(scenario, Timestamp::UNIX_EPOCH);
            for second in [0, 0, 1, 100, 86_400 * 400] {
                let now = Duration::from_secs(second);
                for id in ["a@b.c", "9e3779b1-5eed-4000-8001-000000000001"] {
                    tenant.run_action(now, Collection::Users, id);
                }
                tenant.token(now);
                tenant.error_counts(Collection::Groups, now);
            }
            Ok(())
        }
    }
}

#[test]
fn scenario_numbers_of_any_size_do_not_panic() {
    let numbers = ["9223372036854775807", "1e308", "-1e308", "5e-324", "nan", "inf", "-1", "0", "1"];
    let settings = [
        "",
        "throttle_after = [0]\n",
        "faults.throttle_429 = 0.5\nfaults.wait_503 = 0.5\n",
        "writes_per_second = 1.0\nrefill = 'window'\nwindow_s = 1.0\n",
        "writes_per_second = 1.0\nrefill = 'sliding'\n",
        "objects.users = 1\nobjects.broken = 1.0\n",
        "token.life_s = 1\n",
    ];
    for (key, number) in SCENARIO_KEYS.iter().flat_map(|key| numbers.map(|number| (key, number))) {
        for value in
            [number.to_owned(), format!("[{number}]"), format!("[0, {number}]"), format!("[{number}, 1.0]")]
        {
            for setting in settings {
                let text = format!("{setting}{key} = {value}\n");
                let result = std::panic::catch_unwind(|| run_or_check_error(&text));
                assert!(matches!(result, Ok(Ok(()))), "{text}{result:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scenario_is_rejected_with_its_place_or_runs(text in file(&SCENARIO_KEYS, &SCENARIO_KEYS)) {
        let result = run_or_check_error(&text);
        prop_assert!(result.is_ok(), "{result:?}");
    }

    #[test]
    fn settings_file_is_read_or_rejected_with_its_place(text in file(&SETTINGS, &SECRET_KEYS)) {
        let settings = tempfile::NamedTempFile::new().expect("a file");
        fs::write(settings.path(), &text).expect("written");
        let arguments = ["reprovision".as_ref(), "run".as_ref(), "--config".as_ref(), settings.path().as_os_str()];
        if let Err(error) = cli::parse(arguments.map(ToOwned::to_owned).to_vec()) {
            let message = error.chain();
            prop_assert!(message.contains(", line ") && message.contains(", column "), "{message}");
            prop_assert!(!message.contains(SECRET), "{message}");
        }
    }
}

//! Settings and scenario files with anything in them: no panic, a place for each mistake, no secret in a message.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use reprovision::cli;
use reprovision::simulator::{Collection, Scenario, Tenant};

/// The value of keys that hold secrets elsewhere.
const SECRET: &str = "s3cr3t-0f-n0-value";
/// Keys of a scenario in which a number becomes a time, an amount or a count.
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
/// Settings of every kind, and what is none.
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
/// What holds secrets, a setting or none.
const SECRETS: [&str; 3] = ["token-command", "client-secret", "token"];

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

/// Lines `key = value`, of which one in five is a secret, with a byte put in or taken out somewhere.
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

/// Reads a scenario and plays it for a year, or checks why not.
fn played(text: &str) -> Result<(), String> {
    match Scenario::parse(text) {
        Err(said) => {
            let place = said.strip_prefix("line ").and_then(|rest| rest.split_once(", column "));
            let well = place.is_some() && !said.contains('\n') && !said.contains(SECRET);
            if well { Ok(()) } else { Err(said) }
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
                let said = std::panic::catch_unwind(|| played(&text));
                assert!(matches!(said, Ok(Ok(()))), "{text}{said:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scenario_is_rejected_with_its_place_or_runs(text in file(&SCENARIO_KEYS, &SCENARIO_KEYS)) {
        let said = played(&text);
        prop_assert!(said.is_ok(), "{said:?}");
    }

    #[test]
    fn settings_file_is_read_or_rejected_with_its_place(text in file(&SETTINGS, &SECRETS)) {
        let settings = tempfile::NamedTempFile::new().expect("a file");
        fs::write(settings.path(), &text).expect("written");
        let arguments = ["reprovision".as_ref(), "run".as_ref(), "--config".as_ref(), settings.path().as_os_str()];
        if let Err(error) = cli::parse(arguments.map(ToOwned::to_owned).to_vec()) {
            let said = error.chain();
            prop_assert!(said.contains(", line ") && said.contains(", column "), "{said}");
            prop_assert!(!said.contains(SECRET), "{said}");
        }
    }
}

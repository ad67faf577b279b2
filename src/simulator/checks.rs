//! Checks of the values in a scenario, and the places of mistakes in its file: line and column.

use toml::de::{DeTable, DeValue};

use super::scenario::{Refill, Scenario};

/// Longest time, in seconds: ten years. That is longer than any run, and far too short for times to overflow.
const MAX_SECS: u64 = 10 * 365 * 86_400;
/// Longest latency, in milliseconds: an hour.
const MAX_LATENCY_MS: u64 = 3_600_000;
/// Shortest window, in seconds.
const MIN_WINDOW_SECS: f64 = 1e-3;
/// Largest amount of a limit, and highest number of writes per second. A larger limit would never be reached.
const MAX_AMOUNT: f64 = 1e12;
/// Largest number of objects in a collection: several times that of the largest tenants.
const MAX_OBJECTS: u64 = 10_000_000;

/// Longest message of the TOML parser that is shown, in characters. The names of all keys fit.
const MAX_MESSAGE_CHARS: usize = 450;

const SHARE: &str = "a share is 0 to 1";
const SHARES: &str = "shares are 0 to 1 and at most 1 together";
const TIME: &str = "0 to 315360000 seconds (ten years)";
const RANGE: &str = "the first value is above the second, or above 315360000 seconds (ten years)";
const SPAN: &str = "two numbers of seconds, from and to";
const AMOUNT: &str = "0 to 1e12";
const LIMIT: &str = "an amount of 0 to 1e12, and seconds above 0 and up to 315360000 (ten years)";
const OBJECTS: &str = "at most 10000000";
const STATUS: &str = "a status is 200 to 599";

/// Returns the key of the first value that is not allowed, and what is allowed.
pub(super) fn first_invalid_value(scenario: &Scenario) -> Option<(&'static str, &'static str)> {
    let Scenario { faults, batch, objects, token, limits, listing, .. } = scenario;
    let share = |share: f64| (0.0..=1.0).contains(&share);
    let shares = |shares: &[f64]| shares.iter().all(|one| share(*one)) && shares.iter().sum::<f64>() <= 1.0;
    let time = |seconds: u64| seconds <= MAX_SECS;
    let range = |[from, to]: [u64; 2]| from <= to && time(to);
    let amount = |amount: f64| (0.0..=MAX_AMOUNT).contains(&amount);
    let limit = |limit: Option<[f64; 2]>| {
        limit.is_none_or(|[of, seconds]| amount(of) && seconds > 0.0 && seconds <= MAX_SECS as f64)
    };
    let statuses = |statuses: &[u16]| statuses.iter().all(|status| (200..600).contains(status));
    let rules = [
        ("faults", shares(&faults.shares().map(|(share, _)| share)), SHARES),
        ("batch", shares(&batch.shares().map(|(share, _)| share)), SHARES),
        ("missing", share(scenario.missing), SHARE),
        ("forbidden", share(scenario.forbidden), SHARE),
        ("unauthorized", share(scenario.unauthorized), SHARE),
        ("poisoned", share(scenario.poisoned), SHARE),
        ("objects.broken", share(objects.broken), SHARE),
        ("objects.fails_again", share(objects.fails_again), SHARE),
        ("objects.later", share(objects.later), SHARE),
        ("objects.other_errors", share(objects.other_errors), SHARE),
        ("objects.broken_xml", share(objects.broken_xml), SHARE),
        ("listing.absent", share(listing.absent), SHARE),
        ("listing.forbidden", share(listing.forbidden), SHARE),
        ("listing.null", share(listing.null), SHARE),
        ("listing.null_objects", share(listing.null_objects), SHARE),
        ("objects.users", objects.users <= MAX_OBJECTS, OBJECTS),
        ("objects.groups", objects.groups <= MAX_OBJECTS, OBJECTS),
        ("objects.contacts", objects.contacts <= MAX_OBJECTS, OBJECTS),
        ("objects.later_days", time(objects.later_days.saturating_mul(86_400)), "at most 3650 days"),
        ("objects.effect_s", range(objects.effect_s), RANGE),
        ("throttle_wait_s", range(scenario.throttle_wait_s), RANGE),
        ("writes_per_second", amount(scenario.writes_per_second), AMOUNT),
        ("capacity", amount(scenario.capacity), AMOUNT),
        (
            "window_s",
            scenario.refill == Refill::Bucket && amount(scenario.window_s)
                || (MIN_WINDOW_SECS..=MAX_SECS as f64).contains(&scenario.window_s),
            "a window needs a length of at least 0.001 seconds",
        ),
        ("latency_ms", scenario.latency_ms <= MAX_LATENCY_MS, "at most 3600000 (an hour)"),
        ("outages_s", scenario.outages_s.iter().flatten().all(|at| at.is_finite()), SPAN),
        ("conflicts_s", scenario.conflicts_s.iter().flatten().all(|at| at.is_finite()), SPAN),
        ("limits.tenant_writes", limit(limits.tenant_writes), LIMIT),
        ("limits.app_writes", limit(limits.app_writes), LIMIT),
        ("limits.resource_units", limit(limits.resource_units), LIMIT),
        ("limits.app_resource_units", limit(limits.app_resource_units), LIMIT),
        ("limits.requests", limit(limits.requests), LIMIT),
        ("limits.others_per_second", amount(limits.others_per_second), AMOUNT),
        ("faults.wait_s", time(faults.wait_s), TIME),
        ("token.life_s", time(token.life_s), TIME),
        ("token.revoked_after_s", time(token.revoked_after_s), TIME),
        ("token.faults_wait_s", time(token.faults_wait_s), TIME),
        ("token.identity_wait_s", time(token.identity_wait_s), TIME),
        ("token.faults", statuses(&token.faults), STATUS),
        ("token.identity_faults", statuses(&token.identity_faults), STATUS),
    ];
    rules.into_iter().find(|(_, holds, _)| !holds).map(|(key, _, what)| (key, what))
}

/// Returns a message of the TOML parser without the values of the file.
/// The file may be a wrong one that holds secrets.
pub(super) fn message_without_values(message: &str) -> String {
    let unknown = message.starts_with("unknown field");
    let text = match message.rsplit_once(", expected ") {
        Some((_, expected)) if !unknown => format!("expected {expected}"),
        _ => message.to_owned(),
    };
    let mut shown: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Returns the place of byte `at` as `line 3, column 5`, both from 1.
pub(super) fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}

/// Returns the byte at which the value of a key such as `objects.users` begins.
/// If the file has no such key, its table counts.
pub(super) fn value_offset(text: &str, key: &str) -> usize {
    let Ok(table) = DeTable::parse(text) else { return 0 };
    let (mut inside, mut at) = (table.into_inner(), 0);
    for name in key.split('.') {
        let Some((_, value)) = inside.into_iter().find(|(key, _)| key.get_ref() == name) else { return at };
        at = value.span().start;
        match value.into_inner() {
            DeValue::Table(table) => inside = table,
            _ => return at,
        }
    }
    at
}

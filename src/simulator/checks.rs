//! What a scenario may ask for, and where in its file it asks for something else: line and column.

use toml::de::{DeTable, DeValue};

use super::scenario::{Refill, Scenario};

/// Longest time in seconds: ten years, far beyond any run, and far below where times overflow.
const LONGEST_S: u64 = 10 * 365 * 86_400;
/// Longest answering time in milliseconds: an hour.
const LONGEST_LATENCY_MS: u64 = 3_600_000;
/// Shortest window in seconds.
const SHORTEST_WINDOW_S: f64 = 1e-3;
/// Largest amount of a limit, and most writes a second: nothing is bounded by more.
const LARGEST: f64 = 1e12;
/// Most objects of a kind: some times the largest tenants.
const MOST_OBJECTS: u64 = 10_000_000;

/// Longest message of the reader of TOML that is shown, in characters: the names of all keys fit.
const LONGEST_MESSAGE: usize = 450;

const SHARE: &str = "a share is 0 to 1";
const SHARES: &str = "shares are 0 to 1 and at most 1 together";
const TIME: &str = "0 to 315360000 seconds (ten years)";
const RANGE: &str = "from is above to, or above 315360000 seconds (ten years)";
const SPAN: &str = "from and to in seconds";
const AMOUNT: &str = "0 to 1e12";
const LIMIT: &str = "an amount of 0 to 1e12, and seconds above 0 and to 315360000 (ten years)";
const OBJECTS: &str = "at most 10000000";
const STATUS: &str = "a status is 200 to 599";

/// The key of the first value that a scenario cannot have, and what it may be.
pub(super) fn wrong(scenario: &Scenario) -> Option<(&'static str, &'static str)> {
    let Scenario { faults, batch, objects, token, limits, listing, .. } = scenario;
    let share = |share: f64| (0.0..=1.0).contains(&share);
    let shares = |shares: &[f64]| shares.iter().all(|one| share(*one)) && shares.iter().sum::<f64>() <= 1.0;
    let time = |seconds: u64| seconds <= LONGEST_S;
    let range = |[from, to]: [u64; 2]| from <= to && time(to);
    let amount = |amount: f64| (0.0..=LARGEST).contains(&amount);
    let limit = |limit: Option<[f64; 2]>| {
        limit.is_none_or(|[of, seconds]| amount(of) && seconds > 0.0 && seconds <= LONGEST_S as f64)
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
        ("objects.users", objects.users <= MOST_OBJECTS, OBJECTS),
        ("objects.groups", objects.groups <= MOST_OBJECTS, OBJECTS),
        ("objects.contacts", objects.contacts <= MOST_OBJECTS, OBJECTS),
        ("objects.later_days", time(objects.later_days.saturating_mul(86_400)), "at most 3650 days"),
        ("objects.effect_s", range(objects.effect_s), RANGE),
        ("throttle_wait_s", range(scenario.throttle_wait_s), RANGE),
        ("writes_per_second", amount(scenario.writes_per_second), AMOUNT),
        ("capacity", amount(scenario.capacity), AMOUNT),
        (
            "window_s",
            scenario.refill == Refill::Bucket && amount(scenario.window_s)
                || (SHORTEST_WINDOW_S..=LONGEST_S as f64).contains(&scenario.window_s),
            "a window needs its length in seconds, from 0.001 on",
        ),
        ("latency_ms", scenario.latency_ms <= LONGEST_LATENCY_MS, "at most 3600000 (an hour)"),
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

/// What the reader of TOML has to say, without the values of the file: it may be another one than was meant, with secrets.
pub(super) fn said(message: &str) -> String {
    let unknown = message.starts_with("unknown field");
    let text = match message.rsplit_once(", expected ") {
        Some((_, expected)) if !unknown => format!("expected {expected}"),
        _ => message.to_owned(),
    };
    let mut shown: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// `line 3, column 5`: where a byte of a text stands, both from 1.
pub(super) fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}

/// Where the value of a key such as `objects.users` begins; what holds it where the file does not name it itself.
pub(super) fn of_key(text: &str, key: &str) -> usize {
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

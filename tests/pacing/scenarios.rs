//! Runs every scenario file: results lie within their ranges, nothing is sent early, and no user fails.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use reprovision::pace::{Bounds, DOCUMENTED_RATE, Pace, RateController};

use crate::scenario::{Case, Scenario, Server, ideal};
use crate::world::{Tally, paused, work};

/// Prints a line of the table. `--nocapture` shows it.
pub(crate) fn print_row(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn one(scenario: &Scenario, case: &Case, seed: u64) -> (Tally, f64) {
    let (service, reach) = (&scenario.service, case.reach());
    let tally = paused(|| async move {
        let server = Arc::new(Mutex::new(Server::new(service, case.header, seed)));
        let controller = case
            .initial_rate
            .map_or_else(|| RateController::adaptive(DOCUMENTED_RATE), RateController::from_known);
        let bounds = Bounds { in_flight: reach.in_flight, ..Bounds::default() };
        let pace = Pace::new(controller, bounds, Some(fastrand::Rng::with_seed(seed)));
        work(server, pace, reach, case.users, seed, service.token_s, None).await
    });
    (tally, ideal(service, case.users, reach, seed))
}

/// Runs a case. Returns its violations and its line of the table.
fn judge(scenario: &Scenario, case: &Case) -> (Vec<String>, String) {
    let runs: Vec<_> = (1..=case.seeds).map(|seed| one(scenario, case, seed)).collect();
    let mean = |of: &dyn Fn(&(Tally, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    let wall = mean(&|(tally, ideal)| tally.wall / ideal);
    let throttled = mean(&|(tally, _)| tally.throttled as f64);
    let share = mean(&|(tally, _)| tally.throttled as f64 / tally.sent as f64);
    let what = format!("{} {} users{}", scenario.name, case.users, if case.header { ", header" } else { "" });
    let mut wrong = Vec::new();
    let mut within = |name: &str, found: f64, range: Option<[f64; 2]>| {
        if let Some([least, most]) = range
            && !(least..=most).contains(&found)
        {
            wrong.push(format!("{what}: {name} is {found:.4}, expected {least} to {most}"));
        }
    };
    within("wall over ideal", wall, Some(case.wall));
    within("throttled", throttled, case.throttled);
    within("throttled share", share, case.throttled_share);
    for (tally, ideal) in &runs {
        within("wall over ideal of one run", tally.wall / ideal, case.worst.map(|worst| [0.0, worst]));
        within("accepted", tally.accepted as f64, Some([case.users as f64; 2]));
        within("tokens", tally.tokens as f64, case.tokens);
        within("failed", tally.failed as f64, Some([0.0; 2]));
        within("sent early", tally.early as f64, Some([0.0; 2]));
        within("most in flight", tally.most_in_flight as f64, Some([1.0, case.reach().in_flight as f64]));
    }
    let line = format!(
        "| {} | {} | {} | {:.0} | {wall:.3} | {throttled:.0} | {:.2} |",
        scenario.title,
        case.users,
        if case.header { "yes" } else { "no" },
        mean(&|(tally, _)| tally.wall),
        share * 100.0
    );
    (wrong, line)
}

/// Runs all cases, two at a time, and panics with all violations.
fn judge_all(cases: &[(&Scenario, &Case)]) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![None; cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((at, (scenario, case))) = {
                    let at = next.fetch_add(1, Relaxed);
                    cases.get(at).map(|case| (at, *case))
                } {
                    let judged = judge(scenario, case);
                    found.lock().expect("no panic holds it")[at] = Some(judged);
                }
            });
        }
    });
    let found = found.into_inner().expect("no panic holds it");
    print_row(
        "| service | users | header | s | wall ÷ ideal | throttled | % throttled |\n| --- | --- | --- | --- | --- | --- | --- |",
    );
    let mut wrong = Vec::new();
    for (breaches, line) in found.into_iter().flatten() {
        print_row(&line);
        wrong.extend(breaches);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn all(wanted: impl Fn(&Case) -> bool) {
    let only = std::env::var("PACING").unwrap_or_default();
    let scenarios = Scenario::all();
    assert!(scenarios.len() > 20, "scenario files are missing");
    let mut cases: Vec<_> = scenarios
        .iter()
        .filter(|scenario| scenario.name.contains(&only))
        .flat_map(|scenario| scenario.cases.iter().map(move |case| (scenario, case)))
        .filter(|(_, case)| wanted(case))
        .collect();
    cases.sort_by_key(|(scenario, case)| (scenario.name.clone(), case.users, case.header));
    assert!(!cases.is_empty(), "no case matches");
    judge_all(&cases);
}

#[test]
fn quick_runs_end_within_their_ranges() {
    all(|case| case.quick);
}

#[test]
#[ignore = "minutes: tests/endurance/run starts it"]
fn all_runs_end_within_their_ranges() {
    all(|_| true);
}

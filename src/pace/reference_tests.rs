//! Compares the rate controller with its reference in Python: `tests/pacing/reference.py` prints the table, this test replays it.

use std::time::Duration;

use tokio::time::Instant;

use super::adaptive::{AdaptiveRate, LearnedRate};
use super::cooldown::Cooldowns;
use crate::model::Scope;

const TABLE: &str = include_str!("../../tests/pacing/reference.csv");
/// Largest difference in any column.
const EXACT: f64 = 1e-6;

/// One client of the table.
struct Client {
    origin: Instant,
    controller: AdaptiveRate,
    cooldowns: Cooldowns,
}

impl Client {
    /// `<initial rate> <learned rate> <credit> <seconds away> <known>`. The three in the middle are given together or not at all.
    fn begin(argument: &str) -> Self {
        let origin = Instant::now();
        let mut numbers = argument.split(' ').map(|number| number.parse::<f64>().ok());
        let mut next = || numbers.next().flatten();
        let initial = next().expect("an initial rate");
        let (rate, credit, away, known) = (next(), next(), next(), next());
        let controller = if known.is_some() {
            AdaptiveRate::from_known(initial, origin)
        } else {
            AdaptiveRate::new(initial, origin)
        };
        let controller = match (credit, away) {
            (Some(credit), Some(away)) => {
                controller.resume(LearnedRate { rate, credit }, Duration::from_secs_f64(away))
            }
            _ => controller,
        };
        Self { origin, controller, cooldowns: Cooldowns::new(None) }
    }

    fn at(&self, seconds: &str) -> Instant {
        self.origin + Duration::from_secs_f64(seconds.parse().expect("seconds"))
    }

    fn replay(&mut self, event: &str, argument: &str, now: Instant) {
        match event {
            "sent" => {
                assert!(self.cooldowns.running(now).is_none(), "the table itself sends early");
                self.controller.sent(now);
            }
            "served" => {
                self.controller.served(self.at(argument), now);
                let shut = self.cooldowns.is_shut();
                self.cooldowns.served(self.at(argument));
                if shut && !self.cooldowns.is_shut() {
                    self.controller.reopened(now);
                }
            }
            "used" => self.controller.used(argument.parse().expect("a share"), now),
            "refused" => {
                let (wait, sent) = argument.split_once(' ').expect("a wait and when it was sent");
                let wait = wait.parse().ok().map(Duration::from_secs);
                self.controller.throttled(self.at(sent), now);
                self.cooldowns.throttled(Scope::default(), wait, self.at(sent), now);
            }
            other => panic!("unknown event {other:?}"),
        }
    }

    fn columns(&self, now: Instant) -> [Option<f64>; 6] {
        let shown = self.controller.shown();
        let gate = self.cooldowns.all().next().map(|cooling| cooling.until.duration_since(self.origin));
        let gate = gate.map(|gate| gate.as_secs_f64());
        let learned = self.controller.learned();
        [
            learned.rate,
            Some(shown.0),
            Some(self.controller.pace(now)),
            Some(learned.credit),
            Some(shown.1),
            gate,
        ]
    }
}

#[tokio::test]
async fn controller_agrees_with_its_reference_to_a_millionth() {
    let mut client = None;
    let (mut compared, mut throttled) = (0, 0);
    for (number, line) in TABLE.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split(',').collect();
        let [time, event, argument, expected @ ..] = cells.as_slice() else {
            panic!("line {number}: {line}")
        };
        if *event == "begin" {
            client = Some(Client::begin(argument));
        }
        let client = client.as_mut().expect("a table begins with begin");
        let now = client.at(time);
        if *event != "begin" {
            client.replay(event, argument, now);
        }
        throttled += usize::from(*event == "refused");
        for (column, (found, expected)) in client.columns(now).into_iter().zip(expected).enumerate() {
            let expected = expected.parse::<f64>().ok();
            let same = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < EXACT,
                // An open gate has no end.
                (None, _) => expected.is_none() || column == 5,
                _ => false,
            };
            assert!(same, "line {}: column {column} is {found:?}, not {expected:?}: {line}", number + 1);
            compared += 1;
        }
    }
    assert!(compared > 10_000 && throttled > 50, "{compared} values with {throttled} 429s: the table is cut");
}

//! Compares the rate controller with its reference: `tests/pacing/reference.py` prints a table, this test
//! replays it.

use std::time::Duration;

use tokio::time::Instant;

use super::adaptive::{AdaptiveRate, LearnedRate};
use super::cooldown::Cooldowns;
use crate::model::Scope;

const TABLE: &str = include_str!("../../tests/pacing/reference.csv");
/// Largest difference in any column.
const TOLERANCE: f64 = 1e-6;

/// One client of the table.
struct Client {
    origin: Instant,
    controller: AdaptiveRate,
    cooldowns: Cooldowns,
}

impl Client {
    /// Parses `<initial rate> <saved rate> <saved burst> <seconds away> <1 for --initial-rate>`. All but the
    /// first may be empty.
    fn begin(argument: &str) -> Self {
        let origin = Instant::now();
        let mut numbers = argument.split(' ').map(|number| number.parse::<f64>().ok());
        let mut next = || numbers.next().flatten();
        let initial = next().expect("an initial rate");
        let (rate, burst, away, known) = (next(), next(), next(), next());
        let controller = if known.is_some() {
            AdaptiveRate::from_known(initial, origin)
        } else {
            AdaptiveRate::new(initial, origin)
        };
        let controller = match (burst, away) {
            (Some(burst), Some(away)) => {
                controller.resume(LearnedRate { rate, burst }, Duration::from_secs_f64(away))
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
                let was_active = self.cooldowns.is_active();
                self.cooldowns.served(self.at(argument));
                if was_active && !self.cooldowns.is_active() {
                    self.controller.reopened(now);
                }
            }
            "used" => self.controller.used(argument.parse().expect("a share"), now),
            "throttled" => {
                let (wait, sent) = argument.split_once(' ').expect("a pause and a time of sending");
                let wait = wait.parse().ok().map(Duration::from_secs);
                self.controller.throttled(self.at(sent), now);
                self.cooldowns.throttled(Scope::default(), wait, self.at(sent), now);
            }
            other => panic!("unknown event {other:?}"),
        }
    }

    fn columns(&self, now: Instant) -> [Option<f64>; 6] {
        let (search, next) = self.controller.search_and_next();
        let cooldown = self.cooldowns.all().next().map(|cooldown| cooldown.until.duration_since(self.origin));
        let cooldown = cooldown.map(|end| end.as_secs_f64());
        let learned = self.controller.learned();
        [
            learned.rate,
            Some(search),
            Some(self.controller.pace(now)),
            Some(learned.burst),
            Some(next),
            cooldown,
        ]
    }
}

#[tokio::test]
async fn controller_matches_its_reference_to_a_millionth() {
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
        let client = client.as_mut().expect("the first event is begin");
        let now = client.at(time);
        if *event != "begin" {
            client.replay(event, argument, now);
        }
        throttled += usize::from(*event == "throttled");
        for (column, (found, expected)) in client.columns(now).into_iter().zip(expected).enumerate() {
            let expected = expected.parse::<f64>().ok();
            let same = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < TOLERANCE,
                // Without a cool-down the last column has no value here; the reference keeps the last end.
                (None, _) => expected.is_none() || column == 5,
                _ => false,
            };
            assert!(same, "line {}: column {column} is {found:?}, not {expected:?}: {line}", number + 1);
            compared += 1;
        }
    }
    assert!(
        compared > 10_000 && throttled > 50,
        "only {compared} values and {throttled} throttled requests: the table is incomplete"
    );
}

//! Property tests of admission: bounds that hold for any events in any order.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::adaptive::AdaptiveRate;
use super::controller::RateController;
use super::gate::{Bounds, PaceState};
use crate::model::{Attempt, AttemptResult, Scope, Throttle, TransientFailure};

/// `--concurrency` of the sequences. It is so small that they reach it.
const IN_FLIGHT: usize = 12;
/// `--initial-rate`, in writes per second.
const INITIAL: f64 = 20.0;
/// The burst that belongs to it, in writes.
const BURST: f64 = 3_000.0;
/// Longest pause that the service announces, in milliseconds.
const MAX_PAUSE_MS: u64 = 200_000;
/// Largest number of parts of a ticket.
const GROUP: u32 = 20;
/// Longest wait without an announced pause, in seconds: 30 s for a probe, or 20 s for each part of a group at
/// 0.05/s.
const MAX_UNANNOUNCED_SECS: u64 = 20 * GROUP as u64;

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds that pass.
    Pass(u64),
    /// A request for that many parts.
    Ask(u32),
    Settle(usize, Reply),
    Drop(usize),
}

#[derive(Clone, Debug)]
enum Reply {
    Served(Option<f64>),
    Throttled { wait: Option<u64>, scope: usize, quota: bool },
    Failure,
    Unauthorized,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![Just(None), (0..MAX_PAUSE_MS).prop_map(Some)];
    let reply = prop_oneof![
        6 => prop_oneof![Just(None), (0.0..2.0).prop_map(Some)].prop_map(Reply::Served),
        2 => (wait, 0..3_usize, any::<bool>()).prop_map(|(wait, scope, quota)| Reply::Throttled { wait, scope, quota }),
        1 => Just(Reply::Failure),
        1 => Just(Reply::Unauthorized),
    ];
    let step = prop_oneof![
        2 => prop_oneof![0..50_u64, 0..2_000_u64, 0..MAX_PAUSE_MS].prop_map(Step::Pass),
        4 => (1..=GROUP).prop_map(Step::Ask),
        4 => (any::<usize>(), reply).prop_map(|(which, reply)| Step::Settle(which, reply)),
        1 => any::<usize>().prop_map(Step::Drop),
    ];
    proptest::collection::vec(step, 1..250)
}

fn attempt(reply: &Reply) -> Attempt {
    let (mut used, mut retry_after) = (None, None);
    let kind = match reply {
        Reply::Served(share) => {
            used = *share;
            AttemptResult::Accepted
        }
        Reply::Throttled { wait, scope, quota } => {
            retry_after = wait.map(Duration::from_millis);
            AttemptResult::Throttled(Throttle { scope: Scope::ALL[*scope], quota: *quota })
        }
        Reply::Failure => AttemptResult::Transient(TransientFailure::Timeout),
        Reply::Unauthorized => AttemptResult::Unauthorized { claims: None },
    };
    Attempt { throttle_percentage: used, retry_after, ..Attempt::of(kind) }
}

/// One part in flight.
#[derive(Clone, Copy, Debug)]
struct PartInFlight {
    sent: Instant,
    probe: bool,
    row: u64,
}

struct Model {
    state: PaceState,
    in_flight: Vec<PartInFlight>,
    announced: Instant,
    rows: u64,
}

impl Model {
    fn controller(&self) -> &AdaptiveRate {
        match &self.state.controller {
            RateController::Adaptive(controller) => controller,
            RateController::Fixed => panic!("the controller changed"),
        }
    }

    fn ask(&mut self, parts: u32) -> Result<(), TestCaseError> {
        let now = Instant::now();
        match self.state.admit(parts, now) {
            Ok((given, probe)) => {
                prop_assert!(given >= 1 && given <= parts);
                prop_assert!(now >= self.announced, "sent {:?} early", self.announced - now);
                prop_assert!(!probe || given == 1, "a probe of {given}");
                prop_assert!(!probe || !self.in_flight.iter().any(|part| part.probe), "two probes");
                prop_assert!(
                    probe || !self.state.cooldowns.is_active(),
                    "not a probe during a throttling event"
                );
                for _ in 0..given {
                    self.rows += 1;
                    self.in_flight.push(PartInFlight { sent: now, probe, row: self.rows });
                }
                prop_assert!(
                    self.in_flight.len() <= IN_FLIGHT.min(self.controller().in_flight()),
                    "{} in flight",
                    self.in_flight.len()
                );
            }
            Err(Some(until)) => {
                prop_assert!(until > now);
                let longest = now.max(self.announced) + Duration::from_secs(MAX_UNANNOUNCED_SECS);
                prop_assert!(until <= longest, "waits {:?} without a reason", until - now);
            }
            Err(None) => {
                prop_assert!(!self.in_flight.is_empty(), "waits for a response although nothing is in flight")
            }
        }
        Ok(())
    }

    fn settle(&mut self, which: usize, reply: &Reply) -> Result<(), TestCaseError> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let part = self.in_flight.swap_remove(which % self.in_flight.len());
        let now = Instant::now();
        let before = (self.controller().base_pace_at(now), self.controller().learned());
        let ends: Vec<_> =
            self.state.cooldowns.all().map(|cooldown| (cooldown.scope, cooldown.until)).collect();
        self.state.free(1, part.probe);
        self.state.settle(part.sent, part.row, &attempt(reply), now);
        if let Reply::Throttled { wait, quota, .. } = reply {
            self.announced = self.announced.max(now + Duration::from_millis(wait.unwrap_or(0)));
            for (scope, until) in ends {
                let after = self.state.cooldowns.all().find(|cooldown| cooldown.scope == scope);
                prop_assert!(after.is_some_and(|after| after.until >= until), "a pause was shortened");
            }
            prop_assert!(
                self.controller().base_pace_at(now) <= before.0,
                "a throttled response raised the pace"
            );
            if *quota {
                prop_assert_eq!(self.controller().learned().burst, 0.0);
            } else {
                prop_assert_eq!(
                    self.controller().learned(),
                    before.1,
                    "throttling outside the quota changed the rate"
                );
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let controller = self.controller();
        let (pace, learned) = (controller.pace(Instant::now()), controller.learned());
        prop_assert!(pace.is_finite() && pace >= 0.05, "pace {pace}");
        prop_assert!((0.0..=BURST).contains(&learned.burst), "burst {}", learned.burst);
        prop_assert!(learned.rate.is_none_or(|rate| rate.is_finite() && rate >= 0.05), "{learned:?}");
        prop_assert_eq!(self.state.in_flight, self.in_flight.len());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_for_events_in_any_order(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let bounds = Bounds { in_flight: IN_FLIGHT, group: GROUP, ..Bounds::default() };
            let state = PaceState::new(RateController::adaptive(INITIAL), bounds, None);
            let mut model = Model { state, in_flight: Vec::new(), announced: Instant::now(), rows: 0 };
            for step in &steps {
                match step {
                    Step::Pass(ms) => advance(Duration::from_millis(*ms)).await,
                    Step::Ask(parts) => model.ask(*parts)?,
                    Step::Settle(which, reply) => model.settle(*which, reply)?,
                    Step::Drop(which) if !model.in_flight.is_empty() => {
                        let part = model.in_flight.swap_remove(which % model.in_flight.len());
                        model.state.free(1, part.probe);
                    }
                    Step::Drop(_) => {}
                }
                model.check()?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

//! Pacing: when the next request may be sent. The rate limit, the rate controller, cool-downs and outages
//! share one gate.

mod adaptive;
mod burst;
mod clock;
mod controller;
mod cooldown;
mod gate;
mod outage;
#[cfg(test)]
mod property_tests;
mod ramp_up;
mod random_throttling;
mod rate_limit;
mod rate_meter;
#[cfg(test)]
mod reference_tests;
mod throttle_sample;
mod unannounced;

pub use adaptive::{AdaptiveRate, LearnedRate};
pub use burst::{DOCUMENTED_RATE, time_at_best};
pub use controller::RateController;
pub use cooldown::RunningCooldown;
pub use gate::{AttemptFeedback, Bounds, Pace, SendState, ThrottleStats, Ticket};
pub use outage::{PROBE_EVERY, USERS_IN_A_ROW};
pub use rate_limit::{FASTEST, SLOWEST};

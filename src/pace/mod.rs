//! Pacing: decides when the next request may be sent, by rate limit, rate controller, cool-downs and outages.

mod adaptive;
mod climb;
mod clock;
mod controller;
mod cooldown;
mod cycles;
mod doubt;
mod episode;
mod gate;
#[cfg(test)]
mod golden;
mod outage;
#[cfg(test)]
mod properties;
mod quota;
mod stock;
mod unannounced;

pub use adaptive::{Adaptive, Learned};
pub use controller::RateController;
pub use cooldown::Cooling;
pub use gate::{Bounds, Pace, Settled, Ticket, Waiting, Waits};
pub use outage::{PROBE_EVERY, USERS_IN_A_ROW};
pub use quota::{FASTEST, SLOWEST};
pub use stock::{DOCUMENTED_RATE, time_at_best};

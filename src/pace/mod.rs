//! When the next request may leave: the ceiling, the law, cool-downs and outages behind one fair gate.

mod adaptive;
mod climb;
mod clock;
mod cooldown;
mod cycles;
mod doubt;
mod episode;
mod gate;
#[cfg(test)]
mod golden;
mod law;
mod outage;
#[cfg(test)]
mod properties;
mod quota;
mod stock;
mod unannounced;

pub use adaptive::{Adaptive, Learned};
pub use cooldown::Cooling;
pub use gate::{Bounds, Pace, Settled, Ticket, Waiting, Waits};
pub use law::Law;
pub use outage::{PROBE_EVERY, USERS_IN_A_ROW};
pub use quota::{FASTEST, SLOWEST};
pub use stock::{DOCUMENTED_RATE, time_at_best};

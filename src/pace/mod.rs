//! When the next request may leave: the ceiling, the law, cool-downs and outages behind one fair gate.

mod clock;
mod cooldown;
mod gate;
mod law;
mod outage;
mod quota;

pub use cooldown::Cooling;
pub use gate::{Bounds, Pace, Settled, Ticket, Waiting, Waits};
pub use law::{DEFAULT_RATE, Law};
pub use outage::{PROBE_EVERY, USERS_IN_A_ROW};
pub use quota::{FASTEST, SLOWEST};

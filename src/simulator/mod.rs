//! A local Graph on loopback: a strict judge, not a mock. Imports nothing of ours, so that no mistake can agree with itself.

mod scenario;
mod server;
mod tenant;

pub use scenario::{Refill, Scenario};
pub use server::Simulator;
pub use tenant::{Answer, Ledger, Tenant};

//! `verify`: whether the errors of accepted objects are gone.

mod verdict;
mod verification;
mod verified_row;
mod verify_job;

pub(crate) use verification::Verification;
pub use verify_job::{VerifyEnd, VerifyPlan, verify};
pub(crate) use verify_job::{same_place, verify_after};

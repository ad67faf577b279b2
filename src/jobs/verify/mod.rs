//! `verify`: whether the errors of accepted objects are gone.

mod verdict;
mod verification;
mod verified_row;
mod verify_job;

pub(crate) use verification::Verification;
pub(crate) use verify_job::{VerifyPlan, same_place, verify, verify_after};

//! One test binary: the list of integration tests.

mod house;
mod run;

//! One test binary: the list of integration tests.

mod house;
mod kill;
mod pace;
mod run;

//! One test binary: the list of integration tests.

mod docs;
mod explain;
mod house;
mod kill;
mod pace;
mod reads;
mod run;
mod scenarios;

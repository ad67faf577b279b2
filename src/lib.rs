//! Retries Microsoft 365 / Entra service provisioning in bulk: the map of modules.
//!
//! The way of one user: `input` (its own thread) → bounded channel → `pool` slot → `worker`
//! { `dispatch` → `retry` → sleep } → `Event` on a bounded channel → journal thread → `results.csv`.
//! Dependencies point one way only; `docs/architecture.md` has the table, a test holds the code to it.
//!
//! The library exists for the program, its tests and its benchmarks. One job, against the embedded simulator:
//!
//! ```
//! use reprovision::error::Exit;
//! use reprovision::jobs::run::{FolderChoice, RunPlan, Source, run};
//! use reprovision::model::Outcome;
//! use reprovision::session::{Endpoint, Purpose, ServiceOptions, Session};
//! use reprovision::terminal::Console;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let list = folder.path().join("users.csv");
//! std::fs::write(&list, "id\nann@contoso.com\nben@contoso.com\n")?;
//!
//! let options = ServiceOptions { simulate: Some("calm".to_owned()), ..ServiceOptions::default() };
//! let endpoint = Endpoint::locate(&options).await?;
//! let plan = RunPlan {
//!     folder: FolderChoice::Named(folder.path().join("run")),
//!     ..RunPlan::new(Source::file(&list)?, &endpoint)
//! };
//! let console = Console::silent();
//! let purpose = Purpose { writes: true, kind: plan.kind, unattended: true };
//! let session = Session::open(&options, endpoint, purpose, &console).await?;
//! let end = run(plan, &session, &console).await?;
//!
//! assert_eq!(end.exit, Exit::Done);
//! let totals = end.run.and_then(|run| run.totals).expect("the run sent requests");
//! assert_eq!(totals.of(Outcome::Accepted), 2);
//! # Ok(())
//! # }
//! ```

pub mod auth;
pub mod catalogue;
pub mod cli;
pub mod commands;
pub mod engine;
pub mod error;
pub mod graph;
pub mod input;
pub mod jobs;
pub mod model;
pub mod net;
pub mod pace;
pub mod report;
pub mod rundir;
pub mod scan;
pub mod session;
pub mod simulator;
pub mod stop;
pub mod sys;
pub mod terminal;

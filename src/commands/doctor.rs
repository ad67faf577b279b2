//! `doctor`: from flags to the checks, and to an exit code.

use std::ops::ControlFlow;

use super::service::options;
use crate::cli::Doctor;
use crate::error::{Error, Exit};
use crate::jobs::doctor::{DoctorPlan, doctor as doctor_job};
use crate::jobs::signals::{listen, unless_stopped};
use crate::terminal::Console;

pub(super) async fn doctor(flags: Doctor, console: &Console) -> Result<Exit, Error> {
    let plan = DoctorPlan { options: options(&flags.service), kind: flags.object, json: flags.json };
    let checks = doctor_job(&plan, console);
    Ok(match unless_stopped(&mut listen()?, console, "nothing was changed", checks).await? {
        ControlFlow::Continue(exit) | ControlFlow::Break(exit) => exit,
    })
}

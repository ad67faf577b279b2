//! `find`: from flags to a plan, and from its end to an exit code.

use std::ops::ControlFlow;

use super::service::connect;
use crate::cli::{Find, Only};
use crate::error::{Error, Exit};
use crate::jobs::find::{FindPlan, find as find_job};
use crate::jobs::signals::{listen, unless_stopped};
use crate::model::{ErrorFilter, NextCommand};
use crate::session::Purpose;
use crate::terminal::Console;

pub(super) async fn find(flags: Find, typed: &NextCommand, console: &Console) -> Result<Exit, Error> {
    let purpose = Purpose { writes: false, kind: flags.object, unattended: true };
    let connecting = connect(&flags.service, purpose, console);
    let session = match unless_stopped(&mut listen()?, console, "nothing was read", connecting).await? {
        ControlFlow::Continue(session) => session,
        ControlFlow::Break(exit) => return Ok(exit),
    };
    let plan = FindPlan {
        kind: flags.object,
        filter: filter(&flags.only),
        out: flags.out,
        summary: flags.summary,
        typed: typed.clone(),
    };
    Ok(find_job(&plan, &session, console).await?.exit)
}

/// Which errors are looked for.
pub(super) fn filter(only: &Only) -> ErrorFilter {
    ErrorFilter {
        services: only.only_service.clone(),
        codes: only.only_code.clone(),
        older_than: only.older_than,
    }
}

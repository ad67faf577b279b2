//! `report`: from flags to a plan.

use crate::cli::{RedactKind, Report};
use crate::error::{Error, Exit};
use crate::jobs::report::{ReportPlan, report as report_job};
use crate::report::Redact;
use crate::terminal::Console;

pub(super) fn report(flags: Report, console: &Console) -> Result<Exit, Error> {
    let plan = ReportPlan {
        runs: flags.runs,
        tenant: flags.tenant,
        merge: flags.merge,
        redact: match flags.redact {
            Some(RedactKind::Upn) => Redact::Upn,
            None => Redact::Nothing,
        },
        out: flags.out,
        force: flags.force,
    };
    report_job(&plan, console)
}

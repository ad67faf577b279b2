//! `explain`: from the words of an error to its explanation.

use crate::cli::Explain;
use crate::error::{Error, Exit};
use crate::jobs::explain::explain as explain_job;
use crate::terminal::Console;

pub(super) fn explain(flags: &Explain, console: &Console) -> Result<Exit, Error> {
    let code = flags.code.join(" ");
    console.result(&explain_job(Some(&*code).filter(|_| !flags.code.is_empty()))?);
    Ok(Exit::Done)
}

//! The summary before the first request, and the confirmation.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use url::Url;

use super::plan::{Confirmation, RunPlan, Source};
use crate::error::Error;
use crate::input::Checked;
use crate::jobs::next_commands::no_terminal;
use crate::model::action;
use crate::net;
use crate::report::{count, thousands};
use crate::rundir::RunFile;
use crate::session::UNKNOWN_TENANT;
use crate::terminal::Console;

/// The facts of the summary before the first request.
#[derive(Debug)]
pub(super) struct Prompt<'a> {
    pub(super) plan: &'a RunPlan,
    pub(super) checked: &'a Checked,
    pub(super) run: &'a RunFile,
    pub(super) folder: &'a Path,
    /// The signed-in account or app, and the sign-in method.
    pub(super) signed_in: &'a str,
    /// Rows with a record already.
    pub(super) done: u64,
    /// Users not answered yet.
    pub(super) to_do: u64,
    /// A finished run of the same list.
    pub(super) finished: Option<PathBuf>,
}

impl Prompt<'_> {
    /// The block of first lines.
    pub(super) fn lines(&self) -> String {
        let mut run = match self.done {
            0 => format!("NEW, {}", absolute(self.folder)),
            done => format!(
                "CONTINUES {}: {} of {} done",
                absolute(self.folder),
                thousands(done),
                thousands(self.checked.selected)
            ),
        };
        if let Some(finished) = &self.finished {
            run.push_str(&format!(
                "\n         this list was run before: {}; its failed.csv lists what failed",
                finished.display()
            ));
        }
        if !self.run.retry_of.is_empty() {
            run.push_str(&format!("\n         retries what failed in {}", self.run.retry_of.join(", ")));
        }
        let noted: Vec<_> = [("label", &self.run.label), ("ticket", &self.run.ticket)]
            .into_iter()
            .filter_map(|(name, text)| Some(format!("{name} {}", text.as_deref()?)))
            .collect();
        if !noted.is_empty() {
            run.push_str(&format!("\n         {}", noted.join("    ")));
        }
        let now = self.plan.limit.map_or(self.to_do, |limit| limit.min(self.to_do));
        format!(
            "Tenant   {}\n{}\nRun      {run}\n{}; Ctrl-C stops safely",
            self.tenant(),
            input_lines(self.plan, self.checked),
            self.plan.pacing.time(now)
        )
    }

    fn tenant(&self) -> String {
        if let Some(title) = &self.plan.simulated {
            // A scenario without a limit has no pace of its own.
            let pace = match self.plan.pacing.simulated {
                Some(_) => "; starts at 90% of that rate (change it with --rate or --initial-rate)",
                None => "",
            };
            return format!("SIMULATED  {title}{pace}");
        }
        let id = short(&self.run.identity.tenant);
        let name = match &self.plan.tenant {
            Some(asked) if *asked != self.run.identity.tenant => format!("{asked}  {id}"),
            Some(_) | None => self.run.identity.tenant.clone(),
        };
        format!("{name}   cloud {}    signed in as {}", self.plan.cloud, self.signed_in)
    }

    /// Prints the summary and asks for confirmation if it is needed. Returns how long the answer took.
    ///
    /// # Errors
    /// `Error::Usage` if there is no terminal to ask; `Error::SafetyLimit` if the answer is no.
    pub(super) async fn agree(&self, console: &Console) -> Result<Duration, Error> {
        let question = format!(
            "{} {} in {}? [y/N] ",
            action::QUESTION,
            count(self.plan.limit.map_or(self.to_do, |limit| limit.min(self.to_do)), self.plan.kind.plural()),
            self.plan.tenant.as_deref().unwrap_or(&self.run.identity.tenant)
        );
        if self.plan.confirmation != Confirmation::Ask || self.to_do == 0 {
            console.note(&self.lines());
            return Ok(Duration::ZERO);
        }
        let Some(question_to) = console.question(self.plan.source == Source::Stdin) else {
            let identity = &self.run.identity;
            let tenant = self.plan.tenant.as_deref().unwrap_or(&identity.tenant);
            let is_loopback = Url::parse(&identity.endpoint).is_ok_and(|root| net::is_loopback(&root));
            let tenant = Some(tenant).filter(|tenant| *tenant != UNKNOWN_TENANT);
            return Err(no_terminal(&self.plan.typed, tenant, is_loopback));
        };
        console.status(&self.lines());
        let asked_at = Instant::now();
        let answer = question_to.ask(question).await;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(asked_at.elapsed()),
            _ => Err(Error::SafetyLimit("declined; nothing was sent".to_owned())),
        }
    }
}

/// The lines about the input: what was read, and what was assumed.
pub(super) fn input_lines(plan: &RunPlan, checked: &Checked) -> String {
    let unusable: Vec<_> = checked.unusable.iter().map(|(line, _)| line.to_string()).collect();
    let lines = match unusable.as_slice() {
        [] => String::new(),
        [one] if checked.invalid == 1 => format!(" (line {one})"),
        some => {
            let more = if checked.invalid > some.len() as u64 { " …" } else { "" };
            format!(" (lines {}{more})", some.join(", "))
        }
    };
    let mut said = format!(
        "Input    {}: {}, {:?} separated, {}, id column {:?}\n         {} · {} · {} unusable{lines}",
        plan.input_for_people(),
        count(checked.rows, "rows"),
        char::from(checked.delimiter),
        checked.encoding_name(),
        checked.column_name,
        count(checked.users, plan.kind.plural()),
        count(checked.duplicates, "duplicates"),
        thousands(checked.invalid),
    );
    if let Some(shard) = plan.shard {
        said.push_str(&format!(
            "\n         shard {shard}: {} of these rows; {} left to the other shards",
            thousands(checked.selected),
            thousands(checked.rows - checked.selected)
        ));
    }
    for assumed in checked.assumed() {
        said.push_str("\n         ");
        said.push_str(&assumed);
    }
    said
}

/// The first unusable rows, one line each with the fault. For `--dry-run`, which writes no `failed.csv`.
pub(super) fn unusable_lines(checked: &Checked) -> String {
    let mut said = String::new();
    for (line, why) in &checked.unusable {
        said.push_str(&format!("\n         line {line}: {why}"));
    }
    let more = checked.invalid - checked.unusable.len() as u64;
    if more > 0 {
        said.push_str(&format!("\n         and {} more", thousands(more)));
    }
    said
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// An id as people compare it: its beginning and its end.
fn short(id: &str) -> String {
    if uuid::Uuid::try_parse(id).is_ok() && id.is_ascii() && id.len() > 8 {
        format!("{}…{}", &id[..4], &id[id.len() - 3..])
    } else {
        id.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn ids_are_shortened_and_names_are_not() {
        assert_eq!(short("1f0c0000-0000-4000-8000-0000000009b2"), "1f0c…9b2");
        assert_eq!((short("contoso.com"), short("unknown")), ("contoso.com".into(), "unknown".into()));
    }
}

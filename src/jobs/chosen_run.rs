//! Which run a command is about: the one that is named, or the newest.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::rundir::{RUNS, find_run, newest_of, newest_run};

/// What is known about the run. The first of its fields that is set decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunChoice {
    /// Its folder, or a unique part of its name.
    pub(crate) run: Option<PathBuf>,
    /// The newest run of this simulated tenant.
    pub(crate) scenario: Option<String>,
    /// The newest run of this tenant, by id or domain. Without it the newest run of all is chosen.
    pub(crate) tenant: Option<String>,
}

/// The run that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct ChosenRun {
    pub(crate) folder: PathBuf,
    /// Why it was chosen, if it was neither named nor simulated.
    pub(crate) why: Option<String>,
}

impl RunChoice {
    /// Finds the run below `reprovision-runs`.
    ///
    /// # Errors
    /// `Error::Usage` if no run fits, or if a part of a name fits several runs.
    pub(crate) fn find(&self) -> Result<ChosenRun, Error> {
        let runs = Path::new(RUNS);
        match (&self.run, &self.scenario, self.tenant.as_deref()) {
            (Some(run), ..) => Ok(ChosenRun { folder: find_run(runs, run)?, why: None }),
            (None, Some(scenario), _) => {
                let newest = newest_run(runs, |run| run.scenario() == Some(scenario.as_str()));
                let (folder, _) = newest.ok_or_else(|| {
                    Error::Usage(format!(
                        "no run of the simulated tenant {scenario} below {}. Name the folder of one, or leave --simulate out",
                        runs.display()
                    ))
                })?;
                Ok(ChosenRun { folder, why: None })
            }
            (None, None, tenant) => {
                let why = tenant
                    .map_or_else(|| "the newest".to_owned(), |tenant| format!("the newest of {tenant}"));
                Ok(ChosenRun { folder: newest_of(runs, tenant)?.0, why: Some(why) })
            }
        }
    }
}

impl ChosenRun {
    /// The reason in parentheses after a blank; empty if there is none.
    pub(crate) fn reason(&self) -> String {
        self.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
    }
}

//! One file a command: wiring only.

mod closing;
mod doctor;
mod explain;
mod find;
#[cfg(test)]
mod find_model;
mod found;
pub(crate) mod looking;
mod memory;
mod report;
mod scanning;
mod schedule;
pub(crate) mod service;
pub(crate) mod signals;
mod simulate;
mod simulated;
mod status;
mod sweep;
pub(crate) mod typed;
mod verify;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::cli::{self, Cli, Command};
use crate::error::{Error, Exit, sign_in_text};
use crate::model::LogFormat;
use crate::sys;
use crate::terminal::{Console, PanicHook, start_log};

/// Threads that send. A request costs some 15 microseconds, so that one sends more than any quota allows; a second one
/// costs a quarter more CPU and saves no time: the two wake each other. Files have threads of their own.
const SENDERS: usize = 1;

/// The console of this process, until every command is handed one.
static CONSOLE: OnceLock<Console> = OnceLock::new();

/// The console of this process.
pub(crate) fn console() -> &'static Console {
    CONSOLE.get_or_init(|| Console::new(false, LogFormat::Text))
}

pub(crate) fn say(text: &str) {
    console().result(text);
}

pub(crate) fn tell(text: &str) {
    match text.split_once(": ") {
        Some(("error", rest)) => console().error(rest),
        Some(("warning", rest)) => console().warn(rest),
        _ => console().status(text),
    }
}

pub(crate) fn note(text: &str) {
    console().note(text);
}

/// Runs a command to its exit code.
pub fn main(cli: Cli, hook: &PanicHook) -> Exit {
    sys::forbid_core_dumps();
    let console = CONSOLE.get_or_init(|| Console::new(cli.telling.quiet, cli.telling.log_format));
    hook.report_to(console);
    if let Err(error) = start_log(console, cli.telling.verbose, cli.telling.log_file.as_deref()) {
        return fail(&error);
    }
    let mut runtime = Builder::new_multi_thread();
    if matches!(cli.command, Command::Run(_) | Command::Sweep(_)) {
        runtime.worker_threads(SENDERS);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => Leaving(Some(runtime)),
        Err(error) => {
            tell(&format!("error: cannot start: {error}"));
            return Exit::Internal;
        }
    };
    let ended = match cli.command {
        Command::Run(run) => runtime.block_on(closing::closed(*run)),
        Command::Find(find) => runtime.block_on(find::find(*find)),
        Command::Verify(verify) => runtime.block_on(verify::verify(*verify)),
        Command::Doctor(asked) => runtime.block_on(doctor::doctor(*asked)),
        Command::Report(asked) => report::report(&asked),
        Command::Status(asked) => status::status(&asked),
        Command::Schedule(asked) => Ok(schedule::schedule(&asked)),
        Command::Sweep(sweep) => runtime.block_on(sweep::sweep(*sweep)),
        Command::Explain(asked) => explain::explain(&asked),
        Command::Simulate(simulate) => runtime.block_on(simulate::simulate(simulate)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "reprovision", &mut script);
            say(String::from_utf8_lossy(&script).trim_end());
            Ok(Exit::Done)
        }
        Command::Man { command } => manual(command.as_deref()),
    };
    drop(runtime);
    ended.unwrap_or_else(|error| fail(&error))
}

/// A runtime whose tasks do not keep the process when they still wait for something, however it ends.
struct Leaving(Option<Runtime>);

impl Leaving {
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("taken when dropped alone").block_on(work)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The page of the program, or of one command.
fn manual(name: Option<&str>) -> Result<Exit, Error> {
    // The manual leaves out the words of flags that the short help leaves out.
    let shown = |command: clap::Command| command.mut_args(|flag| flag.hide_short_help(false));
    let mut command = shown(cli::command()).mut_subcommands(shown);
    command.build();
    let page_of = match name {
        None => Some(&command),
        Some(name) => command.find_subcommand(name),
    };
    let page_of = page_of.ok_or_else(|| {
        Error::Usage(format!("{} is no command: `reprovision --help` lists them", name.unwrap_or_default()))
    })?;
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(page_of.clone()).render(&mut page);
    written.map_err(|error| Error::Internal(error.to_string()))?;
    say(String::from_utf8_lossy(&page).trim_end());
    Ok(Exit::Done)
}

/// Says why nothing can be done.
pub fn fail(error: &Error) -> Exit {
    let text = match error {
        Error::SignIn(text) => sign_in_text(text),
        other => other.chain(),
    };
    tell(&format!("error: {text}"));
    error.exit()
}

/// Which run was taken where none was named.
fn the_newest(tenant: Option<&str>) -> String {
    tenant.map_or_else(|| "the newest".to_owned(), |tenant| format!("the newest of {tenant}"))
}

/// Whether a file of the user's choice is there already. What is no plain file is refused: the file would take the place of
/// a link, a pipe or a device.
///
/// # Errors
/// `Error::Usage`; `Error::File` where it cannot be told.
fn is_there(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(Error::Usage(format!(
            "{} is a link, a folder or a device: name a file; nothing was written",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::file("look at", path, source)),
    }
}

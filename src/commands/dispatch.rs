//! From a parsed command line to its command, and to the exit code of the process.

use super::{doctor, explain, find, report, run, schedule, simulate, status, sweep, verify};

use tokio::runtime::{Builder, Runtime};

use crate::cli::{self, Cli, Command};
use crate::error::{Error, Exit, sign_in_text};
use crate::model::{LogFormat, NextCommand};
use crate::sys;
use crate::terminal::{Console, PanicHook, start_log};

/// Threads that send. A request costs some 15 microseconds, so that one sends more than any quota allows; a second one
/// costs a quarter more CPU and saves no time: the two wake each other. Files have threads of their own.
const SENDER_THREADS: usize = 1;

/// Runs a command to its exit code.
pub fn main(cli: Cli, typed: &NextCommand, hook: &PanicHook) -> Exit {
    sys::forbid_core_dumps();
    let console = &Console::new(cli.telling.quiet, cli.telling.log_format);
    hook.report_to(console);
    if let Err(error) = start_log(console, cli.telling.verbose, cli.telling.log_file.as_deref()) {
        return fail(&error, console);
    }
    let mut runtime = Builder::new_multi_thread();
    if matches!(cli.command, Command::Run(_) | Command::Sweep(_)) {
        runtime.worker_threads(SENDER_THREADS);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => BackgroundShutdown(Some(runtime)),
        Err(error) => {
            console.error(&format!("cannot start: {error}"));
            return Exit::Internal;
        }
    };
    let ended = match cli.command {
        Command::Run(run) => runtime.block_on(run::run(*run, typed, console)),
        Command::Find(find) => runtime.block_on(find::find(*find, typed, console)),
        Command::Verify(verify) => runtime.block_on(verify::verify(*verify, console)),
        Command::Doctor(asked) => runtime.block_on(doctor::doctor(*asked, console)),
        Command::Report(asked) => report::report(asked, console),
        Command::Status(asked) => status::status(asked, console),
        Command::Schedule(asked) => Ok(schedule::schedule(&asked, console)),
        Command::Sweep(sweep) => runtime.block_on(sweep::sweep(*sweep, typed, console)),
        Command::Explain(asked) => explain::explain(&asked, console),
        Command::Simulate(simulate) => runtime.block_on(simulate::simulate(simulate, console)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "reprovision", &mut script);
            console.result(String::from_utf8_lossy(&script).trim_end());
            Ok(Exit::Done)
        }
        Command::Man { command } => manual(command.as_deref(), console),
    };
    drop(runtime);
    ended.unwrap_or_else(|error| fail(&error, console))
}

/// A runtime whose tasks do not keep the process when they still wait for something, however it ends.
struct BackgroundShutdown(Option<Runtime>);

impl BackgroundShutdown {
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("taken when dropped alone").block_on(work)
    }
}

impl Drop for BackgroundShutdown {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The page of the program, or of one command.
fn manual(name: Option<&str>, console: &Console) -> Result<Exit, Error> {
    // The manual leaves out the words of flags that the short help leaves out.
    let shown = |command: clap::Command| command.mut_args(|flag| flag.hide_short_help(false));
    let mut command = shown(cli::command()).mut_subcommands(shown);
    command.build();
    let page_of = match name {
        None => Some(&command),
        Some(name) => command.find_subcommand(name),
    };
    let page_of = page_of.ok_or_else(|| {
        Error::Usage(format!(
            "unknown command {}. Run `reprovision --help` for the list",
            name.unwrap_or_default()
        ))
    })?;
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(page_of.clone()).render(&mut page);
    written.map_err(|error| Error::Internal(error.to_string()))?;
    console.result(String::from_utf8_lossy(&page).trim_end());
    Ok(Exit::Done)
}

/// Reports a command line that cannot be used.
pub fn refuse(error: &Error) -> Exit {
    fail(error, &Console::new(false, LogFormat::Text))
}

/// Reports why the command ended.
fn fail(error: &Error, console: &Console) -> Exit {
    let text = match error {
        Error::SignIn(text) => sign_in_text(text),
        other => other.chain(),
    };
    console.error(&text);
    error.exit()
}

//! Flag, environment, settings file, default: in this order, for every setting of `run`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Command, FromArgMatches};
use toml::de::{DeTable, DeValue};

use super::command_line::Cli;
use super::service::Service;
use super::{help, next_command};
use crate::error::Error;
use crate::model::NextCommand;
use crate::sys;

/// What came of the command line.
#[derive(Debug)]
pub enum Parsed {
    /// To be run, and the command line as a value.
    Command(Box<Cli>, NextCommand),
    /// Help, a version, or what clap has to say about a wrong flag; it knows where to print it.
    Said(clap::Error),
}

/// Which flags a file must not set: they name the file itself, or turn a real run into a simulated one.
const NEVER_IN_A_FILE: [&str; 4] = ["config", "simulate", "help", "version"];

/// Reads the command line, the environment and the settings file. A variable that is set but empty counts as unset,
/// because CI systems set variables that way.
///
/// # Errors
/// `Error::Usage` or `Error::Input` for the settings file, with line and column.
pub fn parse(arguments: Vec<OsString>) -> Result<Parsed, Error> {
    let mut command = without_empty_variables(help::command());
    if arguments.iter().any(|argument| argument == "-h") {
        command = help::without_variables(command);
    }
    if let Some(file) = settings_file(&arguments) {
        command = with_file(command, &file)?;
    }
    let program = arguments.first().map(|program| program.to_string_lossy().into_owned());
    let first = arguments.get(1).map(PathBuf::from);
    let other = one_dash(&arguments, &command);
    let parsed = command.try_get_matches_from_mut(arguments).and_then(|matches| {
        let typed = next_command::typed(&command, &matches);
        let typed = program.into_iter().fold(typed, NextCommand::started_as);
        Ok(Parsed::Command(Box::new(Cli::from_arg_matches(&matches)?), typed))
    });
    Ok(match parsed {
        Ok(parsed) => parsed,
        Err(said) if said.kind() == ErrorKind::UnknownArgument && renamed(&said).is_some() => {
            return Err(Error::Usage(renamed(&said).unwrap_or_default()));
        }
        Err(said) if other.is_some() && is_about_a_flag(&said) => {
            return Err(Error::Usage(other.unwrap_or_default()));
        }
        Err(said) => match first
            .filter(|first| said.kind() == ErrorKind::InvalidSubcommand && first.is_file())
        {
            Some(file) => {
                let file = file.display();
                return Err(Error::Usage(format!("{file} is a file, not a command: reprovision run {file}")));
            }
            None => Parsed::Said(said),
        },
    })
}

/// What PowerShell calls what a flag of ours does.
const POWERSHELL: [(&str, &str); 3] = [("whatif", "dry-run"), ("confirm", "yes"), ("force", "yes")];

/// Earlier names of flags and their present names.
const RENAMED: [(&str, &str); 2] = [("--cooldown", "--retry-interval"), ("--give-up", "--max-retries")];

/// Names the present flag where an unknown one is the earlier name of it.
fn renamed(said: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = said.get(ContextKind::InvalidArg) else { return None };
    let (old, new) = RENAMED.iter().find(|(old, _)| old == flag)?;
    Some(format!("{old} is not a flag any more. Use {new}"))
}

fn is_about_a_flag(said: &clap::Error) -> bool {
    // `-Version` and `-Verbose` are `-V` and more letters to clap.
    matches!(said.kind(), ErrorKind::UnknownArgument | ErrorKind::DisplayVersion)
}

/// A flag that was written as PowerShell writes its own, with one dash, and how it is written here.
fn one_dash(arguments: &[OsString], command: &Command) -> Option<String> {
    let inner = arguments.get(1).and_then(|name| command.find_subcommand(name));
    let known: Vec<_> = [Some(command), inner]
        .into_iter()
        .flatten()
        .flat_map(Command::get_arguments)
        .filter_map(clap::Arg::get_long)
        .chain(["help", "version"])
        .collect();
    let words = arguments.iter().skip(1).map_while(|word| word.to_str()).take_while(|word| *word != "--");
    words.filter_map(|word| Some((word, word.strip_prefix('-')?))).find_map(|(word, name)| {
        // Letters of `-q`, `-v`, `-h`, `-V` may stand together.
        if name.starts_with('-') || name.chars().all(|letter| "qvhV".contains(letter)) {
            return None;
        }
        let name = name.split([':', '=']).next().unwrap_or(name).to_ascii_lowercase();
        let meant = POWERSHELL.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        let same = |long: &&&str| long.replace('-', "") == name.replace('-', "");
        let long = meant.or_else(|| known.iter().find(same).copied()).filter(|long| known.contains(long))?;
        Some(format!("{word}: flags begin with two dashes here: --{long}"))
    })
}

fn settings_file(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if argument == "--config" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(file) = argument.to_str().and_then(|argument| argument.strip_prefix("--config=")) {
            return Some(PathBuf::from(file));
        }
    }
    std::env::var_os("REPROVISION_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from)
}

fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => argument.env(None),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// The file's values as defaults: whatever else is given wins.
fn with_file(command: Command, file: &Path) -> Result<Command, Error> {
    let unread = |source: io::Error| {
        Error::Usage(format!("{}: cannot read the settings file: {source}", file.display()))
    };
    let bytes = sys::read_settings(file).map_err(unread)?;
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |at: usize, message: String| {
        let before = text.get(..at).unwrap_or(&text);
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() as u64 + 1;
        Error::Input { file: file.to_owned(), line: Some(line), column: Some(column), message }
    };
    if let Err(error) = std::str::from_utf8(&bytes) {
        return Err(wrong(error.valid_up_to(), "this is not UTF-8: save the file as UTF-8".to_owned()));
    }
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, format!("not TOML: {}", error.message()))
    })?;
    let mut values = BTreeMap::new();
    for (key, value) in table.into_inner() {
        let (at, name) = (key.span().start, key.into_inner().into_owned());
        if !is_setting(&command, &name) {
            return Err(wrong(
                at,
                format!(
                    "unknown setting {name:?}. Settings are the long flags of `reprovision run --help` without the dashes, for example rate = 16"
                ),
            ));
        }
        let at = value.span().start;
        let Some(text) = plain(value.get_ref()) else {
            return Err(wrong(at, format!("{name} must be a text, a number, true or false")));
        };
        check(&command, &name, &text).map_err(|message| wrong(at, message))?;
        values.insert(name, text);
    }
    Ok(set(command, &values))
}

fn is_setting(command: &Command, name: &str) -> bool {
    let run = command.find_subcommand("run");
    let own = run.into_iter().flat_map(Command::get_arguments);
    let is = |argument: &clap::Arg| argument.get_long() == Some(name);
    !NEVER_IN_A_FILE.contains(&name) && (command.get_arguments().any(is) || own.into_iter().any(is))
}

fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// One value by itself, as the flag would take it.
fn check(command: &Command, name: &str, value: &str) -> Result<(), String> {
    let command = set(no_variables(command.clone()), &BTreeMap::from([(name.to_owned(), value.to_owned())]));
    match command.try_get_matches_from(["reprovision", "run"]) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(()),
        Err(error) => {
            let text = error.to_string();
            let text = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            Err(text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
    }
}

fn no_variables(command: Command) -> Command {
    command.mut_args(|argument| argument.env(None)).mut_subcommands(no_variables)
}

fn set(command: Command, values: &BTreeMap<String, String>) -> Command {
    let with = |argument: clap::Arg| match argument.get_long().and_then(|name| values.get(name)) {
        // A counter has no default in clap but the one of its type.
        Some(value) if matches!(argument.get_action(), ArgAction::Count) => {
            argument.default_value(value.clone())
        }
        Some(value) => argument.default_value(value.clone()),
        None => argument,
    };
    // What belongs to every command that talks to Graph counts there too; all else is `run`'s.
    let shared = Service::augment_args(Command::new("shared"));
    let is_shared =
        |argument: &clap::Arg| shared.get_arguments().any(|own| own.get_long() == argument.get_long());
    command.mut_args(with).mut_subcommands(|inner| match inner.get_name() {
        "run" => inner.mut_args(with),
        _ => inner.mut_args(|argument| if is_shared(&argument) { with(argument) } else { argument }),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli;
    use crate::model::ObjectKind;

    fn run(arguments: &[&str], file: impl AsRef<[u8]>) -> Result<Box<cli::Run>, String> {
        let settings = tempfile::NamedTempFile::new().expect("a file");
        fs::write(settings.path(), file).expect("written");
        let path = settings.path().to_str().expect("UTF-8");
        let fixed = ["reprovision", "run", "--config", path];
        let all = fixed.iter().chain(arguments).map(OsString::from);
        match parse(all.collect()) {
            Ok(Parsed::Command(cli, _)) => match cli.command {
                cli::Command::Run(run) => Ok(run),
                _ => Err("another command".to_owned()),
            },
            Ok(Parsed::Said(error)) => Err(error.to_string()),
            Err(error) => Err(error.chain().replace(path, "FILE")),
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = "rate = 7\nconcurrency = 5\nyes = true\nlabel = \"from the file\"\nobject = \"groups\"\n";
        let found = run(&["--concurrency", "9"], file).expect("parsed");
        let rate = found.rate.map(|rate| (rate.per_second, rate.fixed));
        assert_eq!((rate, found.concurrency, found.max_attempts), (Some((7.0, false)), 9, 6));
        assert_eq!((found.yes, found.label.as_deref()), (true, Some("from the file")));
        assert_eq!(found.object, ObjectKind::Groups);
        assert!(!run(&[], "yes = false").expect("parsed").yes);
    }

    #[test]
    fn a_wrong_file_is_named_with_line_and_column() {
        for (file, expected) in [
            ("\nratte = 7\n", "FILE, line 2, column 1: unknown setting \"ratte\""),
            ("rate = 7\nconcurrency = 0", "FILE, line 2, column 15: invalid value '0' for '--concurrency"),
            ("rate = [7]", "FILE, line 1, column 8: rate must be"),
            ("simulate = true", "FILE, line 1, column 1: unknown setting \"simulate\""),
            ("rate == 7", "FILE, line 1, column 7: not TOML"),
        ] {
            let said = run(&[], file).expect_err(file);
            assert!(said.starts_with(expected), "{said}");
        }
        let latin = run(&[], b"rate = 7\nlabel = \"caf\xe9\"").expect_err("Latin-1");
        assert!(latin.starts_with("FILE, line 2, column 13: this is not UTF-8"), "{latin}");
        assert_eq!(
            run(&[], "\u{feff}rate = 7").expect("a byte order mark").rate.map(|rate| rate.per_second),
            Some(7.0)
        );
    }

    #[test]
    fn every_setting_has_its_variable() {
        let command = help::command();
        let run = command.find_subcommand("run").expect("run");
        for argument in command.get_arguments().chain(run.get_arguments()) {
            let Some(name) = argument.get_long() else { continue };
            let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
            match name {
                "simulate" | "help" | "version" => assert_eq!(variable, None, "{name}"),
                "tenant" => assert_eq!(variable.as_deref(), Some("AZURE_TENANT_ID")),
                "client-id" => assert_eq!(variable.as_deref(), Some("AZURE_CLIENT_ID")),
                "certificate" => assert_eq!(variable.as_deref(), Some("AZURE_CLIENT_CERTIFICATE_PATH")),
                _ => assert_eq!(
                    variable.as_deref(),
                    Some(format!("REPROVISION_{}", name.to_uppercase().replace('-', "_")).as_str())
                ),
            }
        }
    }

    #[test]
    fn the_short_help_of_run_is_one_screen_under_one_heading() {
        let mut command = help::without_variables(help::command()).term_width(100);
        let run = command.find_subcommand_mut("run").expect("run");
        let help = run.render_help().to_string();
        assert!(help.lines().count() <= 40, "{} lines", help.lines().count());
        for flag in [
            "INPUT",
            "--tenant",
            "--auth",
            "--column",
            "--limit",
            "--dry-run",
            "--verify",
            "--simulate",
            "--out",
            "--yes",
        ] {
            assert!(help.contains(flag), "{flag}: {help}");
        }
        assert!(!help.contains("--max-stall") && !help.contains("Which errors"), "{help}");
    }
}

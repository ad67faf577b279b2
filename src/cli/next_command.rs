//! The command line of this invocation as a value, from which the commands to type next are made.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::model::{DEFAULT_SCENARIO, NextCommand};

/// What was typed: values from the environment and the settings file are left out, because they apply to the next command too.
///
/// `command` must be built, so that it knows the flags of every command.
pub(super) fn typed(command: &Command, matches: &ArgMatches) -> NextCommand {
    let Some((name, matches)) = matches.subcommand() else { return NextCommand::new("help") };
    let is_typed = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let known = command.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
    let mut arguments: Vec<&Arg> = known.filter(is_typed).collect();
    arguments.sort_by_key(|argument| matches.index_of(argument.get_id().as_str()));
    arguments.into_iter().fold(NextCommand::new(name), |next, argument| with(next, argument, matches))
}

fn with(next: NextCommand, argument: &Arg, matches: &ArgMatches) -> NextCommand {
    let id = argument.get_id().as_str();
    let mut values =
        matches.get_raw(id).into_iter().flatten().map(|value| value.to_string_lossy().into_owned());
    let Some(long) = argument.get_long() else { return values.fold(next, NextCommand::operand) };
    let name = format!("--{long}");
    match argument.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => next.with_switch(&name),
        ArgAction::Count => {
            let letter = argument.get_short().unwrap_or_default().to_string();
            next.with_switch(&format!("-{}", letter.repeat(usize::from(matches.get_count(id)))))
        }
        // A value that may be left out is only read behind a `=`.
        _ if argument.is_require_equals_set() => match values.next() {
            Some(value) if value != DEFAULT_SCENARIO => next.with_joined(&name, value),
            _ => next.with_switch(&name),
        },
        _ => next.with(&name, values.collect::<Vec<_>>().join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn line(words: &[&str]) -> String {
        let mut command = cli::command();
        let matches = command.try_get_matches_from_mut(words).expect("valid");
        typed(&command, &matches).line()
    }

    #[test]
    fn line_is_what_was_typed_once_per_flag() {
        assert_eq!(
            line(&["reprovision", "-q", "run", "--limit=3", "a.csv", "--limit", "10", "--yes", "-vv"]),
            "reprovision run a.csv --quiet --limit 10 --yes -vv"
        );
        assert_eq!(
            line(&["reprovision", "run", "--from-find", "--only-code", "a,b", "--simulate=flaky"]),
            "reprovision run --from-find --only-code a,b --simulate=flaky"
        );
        assert_eq!(line(&["reprovision", "sweep", "--simulate"]), "reprovision sweep --simulate");
        assert_eq!(line(&["reprovision", "run", "--", "-x"]), "reprovision run -- -x");
    }

    #[test]
    fn secret_command_is_left_out() {
        let secret = "curl -H 'Authorization: canary' https://vault.example";
        for words in [vec!["--token-command", secret], vec![&*format!("--token-command={secret}")]] {
            assert_eq!(
                line(&[&["reprovision", "run", "a.csv"], &words[..]].concat()),
                "reprovision run a.csv   # with the same --token-command"
            );
        }
    }
}

//! What the help says besides the flags: examples that can be pasted, and the exit codes.

use clap::{Command, CommandFactory};

use super::command_line::Cli;
use super::sign_in_page;

/// Commands to paste, by command; `""` is the program itself. A test runs them all.
const EXAMPLES: [(&str, &[&str]); 11] = [
    (
        "",
        &[
            "reprovision run --simulate                             # try it without a tenant",
            "reprovision doctor --tenant contoso.com                # does sign-in work?",
            "reprovision find --tenant contoso.com --out broken.csv # who needs it?",
            "reprovision run broken.csv --tenant contoso.com",
            "reprovision verify --tenant contoso.com                # later: is it gone?",
            "reprovision help sign-in                               # all ways to sign in",
        ],
    ),
    (
        "run",
        &[
            "reprovision run users.csv --dry-run    # what would happen; nothing is sent",
            "reprovision run users.csv --tenant contoso.com --limit 10  # ten first",
            "reprovision run users.csv --tenant contoso.com             # then the rest",
        ],
    ),
    (
        "find",
        &[
            "reprovision find --tenant contoso.com --summary",
            "reprovision find --tenant contoso.com --out broken.csv",
            "reprovision find --only-service exchange --older-than 1d > old.csv",
        ],
    ),
    ("verify", &["reprovision verify --tenant contoso.com"]),
    ("doctor", &["reprovision doctor --tenant contoso.com"]),
    ("report", &["reprovision report", "reprovision report --redact upn --out to-share.html --force"]),
    ("status", &["reprovision status --watch"]),
    (
        "schedule",
        &[
            "reprovision schedule cron --tenant contoso.com",
            "reprovision schedule kubernetes --at 03:00 > sweep.yaml",
        ],
    ),
    ("sweep", &["reprovision sweep --tenant contoso.com --yes"]),
    ("explain", &["reprovision explain ProxyAddressInUse", "reprovision explain no_permission"]),
    ("man", &["reprovision man > reprovision.1", "reprovision man run > reprovision-run.1"]),
];

/// Commands that end with more than 0, 1 or 2.
const WITH_CODES: [&str; 6] = ["", "run", "find", "verify", "doctor", "sweep"];

/// What each exit code means. A test compares `docs/reference.md#exit-codes` and the answers of `explain` with this table.
const CODES: [(u8, &str); 11] = [
    (0, "all accepted, or nothing to do"),
    (1, "a bug, or a file could not be written"),
    (2, "wrong flags, settings or input; nothing was sent"),
    (3, "complete; some users failed or some rows were invalid"),
    (4, "complete; errors remain after verify"),
    (5, "stopped early: the same command continues"),
    (6, "sign-in, permission or wrong tenant"),
    (7, "stopped by a safety limit, or the prompt was declined"),
    (8, "another process holds this run"),
    (130, "Ctrl-C: the same command continues"),
    (143, "terminated: the same command continues"),
];

/// Meanings of exit codes that differ for one command. An empty meaning: the command never exits with this code.
const OTHER_CODES: [(&str, u8, &str); 27] = [
    ("find", 0, "complete, with or without errors found"),
    ("find", 2, "wrong flags or settings; nothing was read"),
    ("find", 3, "complete for what could be read; some errors could not be read"),
    ("find", 4, ""),
    ("find", 7, ""),
    ("find", 8, "another process writes the same list"),
    ("verify", 0, "no errors remain"),
    ("verify", 2, "wrong flags or settings, or no run to verify"),
    ("verify", 3, ""),
    ("verify", 5, "the service did not answer: the same command starts again"),
    ("verify", 7, ""),
    ("verify", 130, "Ctrl-C: the same command starts again"),
    ("verify", 143, "terminated: the same command starts again"),
    ("doctor", 0, "all checks passed"),
    ("doctor", 2, "wrong flags or settings"),
    ("doctor", 3, ""),
    ("doctor", 4, ""),
    ("doctor", 5, ""),
    ("doctor", 6, "a check failed: network, sign-in, permission or tenant"),
    ("doctor", 7, ""),
    ("doctor", 8, ""),
    ("doctor", 130, "Ctrl-C"),
    ("doctor", 143, "terminated"),
    // `docs/nightly-job.md#exit-codes-for-the-scheduler` has the same sentences.
    ("sweep", 0, "nothing new, even if known users still fail"),
    ("sweep", 3, "new failures: some retry requests failed, or some errors could not be read"),
    ("sweep", 4, "new failures: users failed again after a retry, or have no retries left"),
    ("sweep", 8, "another process holds this run or this history"),
];

fn codes(name: &str) -> String {
    let mut text = "Exit codes:".to_owned();
    for (code, meaning) in CODES {
        let other = OTHER_CODES.iter().find(|(of, other, _)| (*of, *other) == (name, code));
        let meaning = other.map_or(meaning, |(_, _, meaning)| meaning);
        if !meaning.is_empty() {
            text.push_str(&format!("\n  {code:<4} {meaning}"));
        }
    }
    text
}

/// What `run` has and `sweep` refuses or sets itself.
const NOT_IN_SWEEP: [&str; 5] = ["input", "from_find", "verify", "column", "delimiter"];

/// The command line as the program, its completions and its manual know it.
pub fn command() -> Command {
    // Values of variables may be secret, and help is pasted into tickets.
    let command = Cli::command().mut_args(|argument| argument.hide_env_values(true));
    let command = with_help(command, "").mut_subcommands(|inner| {
        let name = inner.get_name().to_owned();
        let inner = inner.mut_args(|argument| {
            let refused = name == "sweep" && NOT_IN_SWEEP.contains(&argument.get_id().as_str());
            argument.hide_env_values(true).hide(refused)
        });
        with_help(inner, &name)
    });
    command.subcommand(sign_in_page::topic())
}

/// The short help is one screen: without the variables.
pub(super) fn without_variables(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_env(true)).mut_subcommands(without_variables)
}

fn with_help(command: Command, name: &str) -> Command {
    let examples = EXAMPLES.iter().find(|(of, _)| *of == name).map(|(_, lines)| lines.join("\n  "));
    let examples = examples.map(|lines| format!("Examples:\n  {lines}"));
    let codes = WITH_CODES.contains(&name).then(|| codes(name));
    let long: Vec<String> = examples.iter().cloned().chain(codes).collect();
    let command = match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    };
    if long.is_empty() { command } else { command.after_long_help(long.join("\n\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn every_exit_code_is_in_the_help_and_in_the_documents() {
        for exit in Exit::ALL {
            let code = exit.code();
            assert!(codes("run").contains(&format!("\n  {code} ")), "{code}");
        }
    }

    #[test]
    fn the_codes_of_a_command_are_its_own() {
        let nightly_job = include_str!("../../docs/nightly-job.md");
        for (_, code, meaning) in OTHER_CODES.iter().filter(|(name, code, _)| *name == "sweep" && *code < 5) {
            assert!(codes("sweep").contains(&format!("  {code}    {meaning}")), "{code}");
            let row = format!("| {code} | {meaning} |");
            assert!(nightly_job.lines().any(|line| line == row), "{row} in the page about the nightly job");
        }
        assert!(!codes("find").contains("\n  4 ") && codes("verify").contains("\n  4 "));
        let numbers = |name: &str| {
            let codes = codes(name);
            let first = |line: &str| line.split_whitespace().next().and_then(|code| code.parse().ok());
            codes.lines().filter_map(first).collect::<Vec<u8>>()
        };
        assert_eq!(numbers("doctor"), [0, 1, 2, 6, 130, 143]);
        assert_eq!(numbers("find"), [0, 1, 2, 3, 5, 6, 8, 130, 143]);
        assert_eq!(numbers("verify"), [0, 1, 2, 4, 5, 6, 8, 130, 143]);
        for reads in ["find", "verify", "doctor"] {
            assert!(!codes(reads).contains("sent"), "{reads} never sends a write: {}", codes(reads));
        }
    }

    #[test]
    fn each_help_fits_its_screen_and_tells_what_every_flag_does() {
        let mut command = command().term_width(100);
        command.build();
        let mut checked = 0;
        for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set()) {
            let name = inner.get_name().to_owned();
            for argument in inner.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let told = argument.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(told.len() > 3 && !told.ends_with('.'), "{name} {}: {told:?}", argument.get_id());
                checked += 1;
            }
            let short = without_variables(inner.clone()).render_help().to_string();
            assert!(short.lines().count() <= 40, "{name}: {} lines", short.lines().count());
            assert!(!short.contains("[env:"), "{short}");
            let example = EXAMPLES.iter().any(|(of, _)| *of == name);
            assert_eq!(short.contains("Examples:"), example, "{name}: {short}");
            assert!(short.lines().all(|line| line.chars().count() <= 100), "{name}: {short}");
        }
        assert!(checked > 100, "{checked} flags");
    }

    #[test]
    fn sweep_does_not_offer_what_it_refuses() {
        let mut command = command();
        let sweep = command.find_subcommand_mut("sweep").expect("sweep").render_long_help().to_string();
        for flag in ["[INPUT]", "--from-find", "--verify", "--column"] {
            assert!(!sweep.contains(flag), "{flag}: {sweep}");
        }
        assert!(sweep.contains("--only-service") && sweep.contains("--limit"), "{sweep}");
    }
}

//! The command as it was typed, to be typed again: without some flags, with others, quoted for the shell.

use std::ffi::OsString;
use std::path::Path;

use crate::error::Error;
use crate::graph::{CLOUDS, GLOBAL};
use crate::model::ObjectKind;
use crate::rundir::RunFile;
use crate::session::UNKNOWN_TENANT;

/// The one flag whose value may hold a secret, in a header for `curl` say. What is printed goes into mails and reports.
const LEFT_OUT: &str = "--token-command";

/// The scenario of `--simulate` without a name.
const DEFAULT_SCENARIO: &str = "default";

/// Flags that other commands about the same tenant need as well.
pub(crate) const SIGN_IN: [&str; 10] = [
    "--tenant",
    "--auth",
    "--cloud",
    "--endpoint",
    "--client-id",
    "--certificate",
    "--token-file",
    "--ca-file",
    "--config",
    "--simulate",
];

/// The command line of this process.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    words: Vec<String>,
    /// Whether [`LEFT_OUT`] was there.
    left_out: bool,
}

impl Typed {
    pub(crate) fn now() -> Self {
        Self::of(std::env::args_os())
    }

    /// A command about a run that another call began, as far as its `run.json` tells how it was sent. How to sign in is
    /// not known from there.
    pub(crate) fn about(run: &RunFile, command: &str, word: &Path) -> Self {
        let mut words = vec!["reprovision".to_owned(), command.to_owned(), word.display().to_string()];
        let mut flag = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        let identity = &run.identity;
        if !run.simulated {
            // A token that cannot be read, and no tenant asked for.
            if identity.tenant != UNKNOWN_TENANT {
                flag("--tenant", &identity.tenant);
            }
            let root = identity.endpoint.trim_end_matches('/');
            match CLOUDS.iter().find(|cloud| cloud.root == root) {
                Some(cloud) if *cloud == GLOBAL => {}
                Some(cloud) => flag("--cloud", cloud.name),
                None => flag("--endpoint", &identity.endpoint),
            }
        }
        if command == "run" {
            if identity.object != ObjectKind::Users {
                flag("--object", identity.object.plural());
            }
            run.read_with().for_each(|(name, value)| flag(&name, value));
        }
        if run.simulated {
            words.push(match run.scenario().filter(|name| *name != DEFAULT_SCENARIO) {
                Some(name) => format!("--simulate={name}"),
                None => "--simulate".to_owned(),
            });
        }
        Self { words, left_out: false }
    }

    /// The command that continues a run: the recorded one, or where there is none, one made from what `run.json` tells.
    pub(crate) fn continues(run: &RunFile, folder: &Path) -> String {
        run.continue_with.clone().unwrap_or_else(|| {
            let copy = folder.join("input.csv");
            Self::about(run, "run", &copy).with("--out", &folder.display().to_string()).line()
        })
    }

    /// With what a command needs that nobody is asked to confirm.
    pub(crate) fn confirmed(self, tenant: Option<&str>) -> Self {
        let with_yes = match self.has("--yes") {
            true => self,
            false => self.with_switch("--yes"),
        };
        match tenant.filter(|tenant| *tenant != UNKNOWN_TENANT && !with_yes.has("--tenant")) {
            Some(tenant) => with_yes.with("--tenant", tenant),
            None => with_yes,
        }
    }

    fn has(&self, flag: &str) -> bool {
        let with_value = format!("{flag}=");
        self.words.iter().any(|word| word == flag || word.starts_with(&with_value))
    }

    fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let words = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let all = Self { words, left_out: false };
        let (before, all) = (all.words.len(), all.without(LEFT_OUT));
        Self { left_out: all.words.len() < before, ..all }
    }

    /// Leaves out a flag with its value.
    pub(crate) fn without(mut self, flag: &str) -> Self {
        let with_value = format!("{flag}=");
        while let Some(at) = self.words.iter().position(|one| one == flag || one.starts_with(&with_value)) {
            let gone = self.words.remove(at);
            if gone == flag && at < self.words.len() {
                self.words.remove(at);
            }
        }
        self
    }

    /// Leaves out a switch.
    pub(crate) fn without_switch(mut self, switch: &str) -> Self {
        self.words.retain(|one| one != switch);
        self
    }

    /// Another word in the place of one, or at the end.
    pub(crate) fn instead(mut self, old: &str, new: &str) -> Self {
        match self.words.iter().skip(1).position(|one| one == old) {
            Some(at) => new.clone_into(&mut self.words[at + 1]),
            None => self.words.push(new.to_owned()),
        }
        self
    }

    /// The same for a list that exists: `run`, without what finds one and remembers it.
    pub(crate) fn of_a_list(mut self) -> Self {
        let command = self.words.iter_mut().skip(1).find(|word| matches!(word.as_str(), "run" | "sweep"));
        if let Some(command) = command {
            "run".clone_into(command);
        }
        const FINDING: [&str; 6] = [
            "--history",
            "--retry-interval",
            "--max-retries",
            "--only-service",
            "--only-code",
            "--older-than",
        ];
        FINDING.iter().fold(self, |typed, flag| typed.without(flag)).without_switch("--from-find")
    }

    /// Another command of the same program, with those flags of this one that it knows, each with its value: that of
    /// `--simulate` is never a word of its own.
    pub(crate) fn only(self, command: &str, flags: &[&str]) -> Self {
        let mut kept: Vec<String> = self.words.iter().take(1).cloned().collect();
        kept.push(command.to_owned());
        let mut words = self.words.into_iter();
        while let Some(word) = words.next() {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            if flags.contains(&name) {
                let value = if name == word && name != "--simulate" { words.next() } else { None };
                kept.push(word);
                kept.extend(value);
            }
        }
        Self { words: kept, left_out: self.left_out }
    }

    /// With another word at the end.
    pub(crate) fn with_word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// With a flag at the end; the last of two wins.
    pub(crate) fn with(self, flag: &str, value: &str) -> Self {
        self.with_words([flag.to_owned(), value.to_owned()])
    }

    /// With a switch at the end.
    fn with_switch(self, switch: &str) -> Self {
        self.with_words([switch.to_owned()])
    }

    fn with_words(mut self, words: impl IntoIterator<Item = String>) -> Self {
        let end = self.words.iter().position(|one| one == "--").unwrap_or(self.words.len());
        self.words.splice(end..end, words);
        self
    }

    /// For the shell of this platform. What is left out is said in a comment, which may be pasted along.
    pub(crate) fn line(&self) -> String {
        let line = self.words.iter().map(|word| quoted(word, cfg!(windows))).collect::<Vec<_>>().join(" ");
        if self.left_out { format!("{line}   # with the same {LEFT_OUT}") } else { line }
    }
}

/// The refusal where a question is needed and no terminal is there. The command in it is the one that was typed, with
/// its `--limit` and all else. Only a loopback address needs no tenant.
pub(crate) fn no_terminal(tenant: Option<&str>, is_loopback: bool) -> Error {
    let command = Typed::now().confirmed(tenant).line();
    let name = match tenant.is_some() || is_loopback {
        true => "",
        false => ", with the domain or id of the tenant in --tenant",
    };
    Error::Usage(format!(
        "confirmation needs a terminal, and this process has none. Nothing was sent. To confirm on the command line{name}: {command}"
    ))
}

/// A word as the shell must see it: POSIX, or PowerShell.
fn quoted(word: &str, powershell: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,%".contains(c) || (powershell && c == '\\');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let inside = if powershell { word.replace('\'', "''") } else { word.replace('\'', r"'\''") };
    format!("'{inside}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &[&str]) -> Typed {
        Typed::of(line.iter().map(OsString::from))
    }

    #[test]
    fn flags_go_and_come_and_the_rest_stays() {
        let line =
            typed(&["reprovision", "run", "--limit=3", "a b.csv", "--limit", "10", "--new-run", "--yes"]);
        assert_eq!(
            line.clone().without("--limit").without_switch("--new-run").line(),
            "reprovision run 'a b.csv' --yes"
        );
        assert_eq!(
            line.without("--limit")
                .instead("a b.csv", "out/failed.csv")
                .with("--max-failures", "100%")
                .line(),
            "reprovision run out/failed.csv --new-run --yes --max-failures 100%"
        );
        assert_eq!(
            typed(&["reprovision", "run", "--", "-x"]).with("--rate", "5").line(),
            "reprovision run --rate 5 -- -x"
        );
    }

    #[test]
    fn confirmed_command_has_yes_and_tenant_once() {
        let asked = typed(&["reprovision", "run", "a.csv"]);
        assert_eq!(
            asked.clone().confirmed(Some("contoso.com")).line(),
            "reprovision run a.csv --yes --tenant contoso.com"
        );
        assert_eq!(asked.confirmed(Some(UNKNOWN_TENANT)).line(), "reprovision run a.csv --yes");
        let whole = typed(&["reprovision", "run", "a.csv", "--tenant=t", "--yes"]);
        assert_eq!(whole.confirmed(Some("u")).line(), "reprovision run a.csv --tenant=t --yes");
    }

    #[test]
    fn the_value_that_may_hold_a_secret_is_left_out_of_every_form() {
        let secret = "curl -H 'Authorization: canary' https://vault.example";
        for flag in [vec!["--token-command", secret], vec![&*format!("--token-command={secret}")]] {
            let line = typed(&[&["reprovision", "run", "a.csv"], &flag[..], &["--tenant", "t"]].concat());
            let note = "   # with the same --token-command";
            assert_eq!(line.line(), format!("reprovision run a.csv --tenant t{note}"));
            assert_eq!(
                line.clone().with("--rate", "5").line(),
                format!("reprovision run a.csv --tenant t --rate 5{note}")
            );
            assert_eq!(
                line.only("verify", &["--tenant"]).line(),
                format!("reprovision verify --tenant t{note}")
            );
        }
    }

    #[test]
    fn what_found_a_list_is_left_out_for_the_list_itself() {
        let sweep = typed(&[
            "reprovision",
            "sweep",
            "--yes",
            "--history=h.csv",
            "--max-retries",
            "3",
            "--batch",
            "5",
        ]);
        assert_eq!(
            sweep.of_a_list().with_word("failed.csv").line(),
            "reprovision run --yes --batch 5 failed.csv"
        );
        let find = typed(&["reprovision", "run", "--from-find", "--only-service", "exchange"]);
        assert_eq!(find.of_a_list().with_word("failed.csv").line(), "reprovision run failed.csv");
    }

    #[test]
    fn another_command_keeps_the_flags_that_it_knows() {
        let line =
            typed(&["reprovision", "run", "a.csv", "--tenant=t", "--yes", "--auth", "az", "--limit", "3"]);
        let simulated = typed(&["reprovision", "find", "--simulate", "--out", "f.csv", "--tenant", "t"]);
        assert_eq!(simulated.only("run", &SIGN_IN).line(), "reprovision run --simulate --tenant t");
        assert_eq!(
            line.only("verify", &["--tenant", "--auth"]).line(),
            "reprovision verify --tenant=t --auth az"
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("it's $HOME", false), r"'it'\''s $HOME'");
        assert_eq!(quoted("it's $HOME", true), "'it''s $HOME'");
        assert_eq!(quoted(r"C:\a.csv", true), r"C:\a.csv");
        assert_eq!((quoted("", false), quoted("5%", false)), ("''".to_owned(), "5%".to_owned()));
    }
}

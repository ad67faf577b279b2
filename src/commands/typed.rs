//! The command as it was typed, to be typed again: without some flags, with others, quoted for the shell.

use std::ffi::OsString;

/// The command line of this process.
#[derive(Clone, Debug)]
pub(super) struct Typed(Vec<String>);

impl Typed {
    pub(super) fn now() -> Self {
        Self::of(std::env::args_os())
    }

    fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self(arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    /// Leaves out a flag with its value.
    pub(super) fn without(mut self, flag: &str) -> Self {
        let with_value = format!("{flag}=");
        while let Some(at) = self.0.iter().position(|one| one == flag || one.starts_with(&with_value)) {
            let gone = self.0.remove(at);
            if gone == flag && at < self.0.len() {
                self.0.remove(at);
            }
        }
        self
    }

    /// Leaves out a switch.
    pub(super) fn without_switch(mut self, switch: &str) -> Self {
        self.0.retain(|one| one != switch);
        self
    }

    /// Another word in the place of one, or at the end.
    pub(super) fn instead(mut self, old: &str, new: &str) -> Self {
        match self.0.iter().skip(1).position(|one| one == old) {
            Some(at) => new.clone_into(&mut self.0[at + 1]),
            None => self.0.push(new.to_owned()),
        }
        self
    }

    /// The same for a list that exists: `run`, without what finds one and remembers it.
    pub(super) fn of_a_list(mut self) -> Self {
        let command = self.0.iter_mut().skip(1).find(|word| matches!(word.as_str(), "run" | "sweep"));
        if let Some(command) = command {
            "run".clone_into(command);
        }
        const FINDING: [&str; 6] =
            ["--history", "--cooldown", "--give-up", "--only-service", "--only-code", "--older-than"];
        FINDING.iter().fold(self, |typed, flag| typed.without(flag)).without_switch("--from-find")
    }

    /// Another command of the same program, with those flags of this one that it knows; each has a value.
    pub(super) fn only(self, command: &str, flags: &[&str]) -> Self {
        let mut kept: Vec<String> = self.0.iter().take(1).cloned().collect();
        kept.push(command.to_owned());
        let mut words = self.0.into_iter();
        while let Some(word) = words.next() {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            if flags.contains(&name) {
                let value = if name == word { words.next() } else { None };
                kept.push(word);
                kept.extend(value);
            }
        }
        Self(kept)
    }

    /// With another word at the end.
    pub(super) fn with_word(mut self, word: &str) -> Self {
        self.0.push(word.to_owned());
        self
    }

    /// With a flag at the end; the last of two wins.
    pub(super) fn with(mut self, flag: &str, value: &str) -> Self {
        let end = self.0.iter().position(|one| one == "--").unwrap_or(self.0.len());
        self.0.splice(end..end, [flag.to_owned(), value.to_owned()]);
        self
    }

    /// For the shell of this platform.
    pub(super) fn line(&self) -> String {
        self.0.iter().map(|word| quoted(word, cfg!(windows))).collect::<Vec<_>>().join(" ")
    }
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
    fn what_found_a_list_is_left_out_for_the_list_itself() {
        let sweep =
            typed(&["reprovision", "sweep", "--yes", "--history=h.csv", "--give-up", "3", "--batch", "5"]);
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

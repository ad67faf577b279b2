//! A command to type next, quoted for the shell of this platform.

/// The flag whose value may hold a secret, for example a header for `curl`. Printed commands are copied into mails and reports.
const SECRET_FLAG: &str = "--token-command";

/// The scenario of `--simulate` without a name.
pub const DEFAULT_SCENARIO: &str = "default";

/// Flags that another command about the same tenant needs too.
const SIGN_IN_FLAGS: [&str; 10] = [
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

/// Flags that choose which objects a scan finds, and those of `sweep`. They have no meaning for an existing list.
const SCAN_FLAGS: [&str; 7] = [
    "--from-find",
    "--only-service",
    "--only-code",
    "--older-than",
    "--history",
    "--retry-interval",
    "--max-retries",
];

/// A flag with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    /// With its dashes.
    name: String,
    value: Option<String>,
    /// Whether the value follows a `=` and not a blank.
    joined: bool,
}

/// A command line of this program: a command, its operands and its flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextCommand {
    /// How the program was started; `reprovision` if that is not known.
    program: String,
    command: String,
    operands: Vec<String>,
    flags: Vec<Flag>,
    /// Whether [`SECRET_FLAG`] was left out.
    left_out: bool,
}

impl NextCommand {
    /// A command without operands and flags.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            program: "reprovision".to_owned(),
            command: command.into(),
            operands: Vec::new(),
            flags: Vec::new(),
            left_out: false,
        }
    }

    /// Started under another name: as the user typed it, so that the line can be typed again.
    #[must_use]
    pub fn started_as(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// With one more operand.
    #[must_use]
    pub fn operand(mut self, operand: impl Into<String>) -> Self {
        self.operands.push(operand.into());
        self
    }

    /// With these operands and no others.
    #[must_use]
    pub fn with_operand(mut self, operand: impl Into<String>) -> Self {
        self.operands = vec![operand.into()];
        self
    }

    /// With a flag and its value, in the place of an earlier value.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<String>) -> Self {
        self.flag(name, Some(value.into()), false)
    }

    /// With a flag whose value follows a `=`, in the place of an earlier value.
    #[must_use]
    pub fn with_joined(self, name: &str, value: impl Into<String>) -> Self {
        self.flag(name, Some(value.into()), true)
    }

    /// With a flag that has no value.
    #[must_use]
    pub fn with_switch(self, name: &str) -> Self {
        self.flag(name, None, false)
    }

    fn flag(mut self, name: &str, value: Option<String>, joined: bool) -> Self {
        if name == SECRET_FLAG {
            self.left_out = true;
            return self;
        }
        let flag = Flag { name: name.to_owned(), value, joined };
        match self.flags.iter_mut().find(|flag| flag.name == name) {
            Some(earlier) => *earlier = flag,
            None => self.flags.push(flag),
        }
        self
    }

    /// Without a flag and its value.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.flags.retain(|flag| flag.name != name);
        self
    }

    /// `run` for an existing list, without what finds one.
    #[must_use]
    pub fn for_list(mut self, list: impl Into<String>) -> Self {
        self.command = "run".to_owned();
        self.flags.retain(|flag| !SCAN_FLAGS.contains(&&*flag.name));
        self.with_operand(list)
    }

    /// Another command about the same tenant, with the same way to sign in.
    #[must_use]
    pub fn same_tenant(mut self, command: &str) -> Self {
        self.command = command.to_owned();
        self.operands.clear();
        self.flags.retain(|flag| SIGN_IN_FLAGS.contains(&&*flag.name));
        self
    }

    /// With what a command needs if it cannot ask for confirmation. `tenant` is added if the command names none.
    #[must_use]
    pub fn confirmed(self, tenant: Option<&str>) -> Self {
        let confirmed = self.with_switch("--yes");
        match tenant {
            Some(tenant) if confirmed.flags.iter().all(|flag| flag.name != "--tenant") => {
                confirmed.with("--tenant", tenant)
            }
            _ => confirmed,
        }
    }

    /// The line for the shell of this platform. A comment at its end names what was left out; it may be pasted too.
    #[must_use]
    pub fn line(&self) -> String {
        self.line_for(cfg!(windows))
    }

    fn line_for(&self, powershell: bool) -> String {
        // An operand that begins with a dash would be read as a flag. A single dash is standard input.
        let looks_like_flag = |operand: &&String| operand.starts_with('-') && operand.len() > 1;
        let (last, first): (Vec<_>, Vec<_>) = self.operands.iter().partition(looks_like_flag);
        let program = quoted(&self.program, powershell);
        // PowerShell takes a quoted path for a text; `&` calls it.
        let called = if powershell && program.starts_with('\'') { format!("& {program}") } else { program };
        let mut words = vec![called, self.command.clone()];
        words.extend(first.into_iter().map(|operand| quoted(operand, powershell)));
        for flag in &self.flags {
            match &flag.value {
                Some(value) if flag.joined => {
                    words.push(quoted(&format!("{}={value}", flag.name), powershell))
                }
                Some(value) => words.extend([flag.name.clone(), quoted(value, powershell)]),
                None => words.push(flag.name.clone()),
            }
        }
        if !last.is_empty() {
            words.push("--".to_owned());
            words.extend(last.into_iter().map(|operand| quoted(operand, powershell)));
        }
        let line = words.join(" ");
        if self.left_out { format!("{line}   # with the same {SECRET_FLAG}") } else { line }
    }
}

/// A word as a shell reads it: PowerShell, or else a POSIX shell.
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

    fn run() -> NextCommand {
        NextCommand::new("run").operand("a b.csv").with("--limit", "10").with_switch("--new-run")
    }

    #[test]
    fn flags_are_added_replaced_and_removed() {
        assert_eq!(run().line_for(false), "reprovision run 'a b.csv' --limit 10 --new-run");
        let other = run().without("--limit").with("--rate", "5").with("--rate", "6").with_operand("f.csv");
        assert_eq!(other.line_for(false), "reprovision run f.csv --new-run --rate 6");
        let dashed = NextCommand::new("run").operand("-x").with("--rate", "5");
        assert_eq!(dashed.line_for(false), "reprovision run --rate 5 -- -x");
        assert_eq!(NextCommand::new("run").operand("-").line_for(false), "reprovision run -");
    }

    #[test]
    fn confirmed_command_has_yes_and_tenant_once() {
        let command = NextCommand::new("run").operand("a.csv");
        assert_eq!(
            command.clone().confirmed(Some("contoso.com")).line(),
            "reprovision run a.csv --yes --tenant contoso.com"
        );
        let whole = command.with("--tenant", "t").with_switch("--yes");
        assert_eq!(whole.confirmed(Some("u")).line(), "reprovision run a.csv --tenant t --yes");
    }

    #[test]
    fn value_that_may_hold_a_secret_is_left_out() {
        let line = run().with(SECRET_FLAG, "curl -H 'Authorization: canary'").with("--tenant", "t");
        let note = "   # with the same --token-command";
        assert_eq!(
            line.line_for(false),
            format!("reprovision run 'a b.csv' --limit 10 --new-run --tenant t{note}")
        );
        assert_eq!(line.same_tenant("verify").line(), format!("reprovision verify --tenant t{note}"));
    }

    #[test]
    fn scan_flags_are_removed_for_a_list() {
        let sweep = NextCommand::new("sweep")
            .with_switch("--yes")
            .with("--history", "h.csv")
            .with("--max-retries", "3")
            .with("--batch", "5");
        assert_eq!(sweep.for_list("failed.csv").line(), "reprovision run failed.csv --yes --batch 5");
        let find = NextCommand::new("run").with_switch("--from-find").with("--only-service", "exchange");
        assert_eq!(find.for_list("failed.csv").line(), "reprovision run failed.csv");
    }

    #[test]
    fn other_command_keeps_the_sign_in_flags() {
        let simulated = NextCommand::new("find").with_joined("--simulate", "default").with("--out", "f.csv");
        assert_eq!(simulated.same_tenant("run").line(), "reprovision run --simulate=default");
        let real = run().with("--auth", "az").with_switch("--yes").with("--tenant", "t");
        assert_eq!(real.same_tenant("verify").line(), "reprovision verify --auth az --tenant t");
    }

    #[test]
    fn program_is_called_as_it_was_started() {
        let run = run().started_as("C:\\Program Files\\reprovision.exe");
        assert!(run.line_for(true).starts_with("& 'C:\\Program Files\\reprovision.exe' run "));
        let run = run.started_as("./re provision");
        assert!(run.line_for(false).starts_with("'./re provision' run "));
        assert!(run.started_as("reprovision").line_for(true).starts_with("reprovision run "));
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("it's $HOME", false), r"'it'\''s $HOME'");
        assert_eq!(quoted("it's $HOME", true), "'it''s $HOME'");
        assert_eq!(quoted(r"C:\a.csv", true), r"C:\a.csv");
        assert_eq!((quoted("", false), quoted("5%", false)), ("''".to_owned(), "5%".to_owned()));
    }
}

//! What the program prints about itself: manual pages and completion scripts.

use std::process::Command;

fn printed(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_reprovision")).args(arguments).output().expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn manual_pages_describe_every_flag() {
    let mut command = reprovision::cli::command();
    command.build();
    assert!(printed(&["man"]).contains("reprovision\\-run(1)"));
    let mut checked = 0;
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set())
    {
        let page = printed(&["man", inner.get_name()]);
        assert!(page.contains(&format!(".TH reprovision-{} ", inner.get_name())), "{page}");
        for flag in inner.get_arguments().filter(|flag| !flag.is_hide_set()) {
            let told = flag.get_help().expect("a text").to_string();
            // Hyphens and quotes are written otherwise in the source of a page.
            let first: String =
                told.chars().take_while(|c| c.is_alphanumeric() || " ,:;".contains(*c)).collect();
            assert!(page.contains(first.trim()), "{}: {first:?} is not in: {page}", inner.get_name());
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked} flags");
}

#[test]
fn completion_script_is_printed_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for word in ["max-stall", "sweep", "from-find"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

/// What a person gets who types so much and presses the tabulator.
#[cfg(unix)]
fn completed(words: &[&str]) -> Vec<String> {
    let (last, before) = (words.last().expect("a word"), words.get(words.len() - 2).expect("two words"));
    let line = format!(
        "source <(\"$0\" completions bash)
         COMP_WORDS=({}) COMP_CWORD={}
         _reprovision reprovision '{last}' '{before}'
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}' ")).collect::<String>(),
        words.len() - 1,
    );
    let output = Command::new("bash")
        .args(["--norc", "-euc", &line, env!("CARGO_BIN_EXE_reprovision")])
        .output()
        .expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(completed(&["reprovision", "ver"]), ["verify"]);
    assert_eq!(
        completed(&["reprovision", "run", "--max-"]),
        ["--max-wait", "--max-attempts", "--max-stall", "--max-failures"]
    );
    let ways = completed(&["reprovision", "run", "--auth", "managed"]);
    assert_eq!(ways, ["managed-identity"]);
}

#[test]
fn exit_codes_are_the_same_in_help_reference_and_explain() {
    let help = printed(&["run", "--help"]);
    let reference = include_str!("../../docs/reference.md").replace('`', "");
    let lines = help.lines().skip_while(|line| *line != "Exit codes:").skip(1);
    let codes: Vec<_> = lines.map_while(|line| line.trim().split_once(' ')).collect();
    assert_eq!(codes.len(), reprovision::error::Exit::ALL.len(), "{help}");
    for (code, meaning) in codes {
        let meaning = meaning.trim();
        let row = format!("| {code} | {meaning} |");
        assert!(reference.lines().any(|line| line == row), "{row} in docs/reference.md");
        // Both signals have one explanation.
        if !["130", "143"].contains(&code) {
            let explained = printed(&["explain", "exit", code]);
            assert!(explained.starts_with(&format!("exit {code}: {meaning}\n")), "{meaning}: {explained}");
        }
    }
}

#[test]
fn help_sign_in_prints_the_page() {
    let page = printed(&["help", "sign-in"]);
    assert!(page.starts_with("# Sign in\n") && page.contains("AZURE_CLIENT_ID"), "{page}");
    assert!(!page.contains("Usage:"), "{page}");
}

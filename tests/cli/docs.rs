//! Runs every command that README.md and docs/ show, page by page and in order, against a simulator.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::service::Service;
use crate::sign_in_support::said;

/// First words of commands that are not run here, and why: other programs, and builds.
const NOT_RUN: [(&str, &str); 9] = [
    ("cargo test", "runs this test"),
    ("cargo bench", "measures for minutes; docs/benchmarks.md has its figures"),
    ("cargo install", "builds what has been built"),
    ("cargo build", "builds what has been built"),
    ("tests/", "suites of their own, called by .ci/run"),
    ("bash .ci/run", "it runs this test"),
    ("az ", "another program"),
    ("kubectl ", "another program"),
    ("openssl ", "another program"),
];
/// Exit codes that do not mean a failed command: complete, some rows failed, errors remain.
const GOOD_ENDS: [i32; 3] = [0, 3, 4];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = fs::read_dir(root().join("docs"))
        .expect("docs")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect();
    pages.sort();
    pages.insert(0, root().join("README.md"));
    pages
}

/// Commands in code blocks of `languages`. Continued lines are joined, and indentation is removed.
fn lines(text: &str, languages: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside: Option<bool> = None;
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            inside = if inside.is_some() { None } else { Some(languages.contains(&language.trim())) };
            continue;
        }
        if inside != Some(true) {
            continue;
        }
        if let Some(more) = line.strip_suffix(['\\', '`']) {
            open.push_str(more);
            continue;
        }
        let whole = format!("{open}{line}");
        open.clear();
        let command = whole.split("  #").next().unwrap_or("").trim();
        if !command.is_empty() && !command.starts_with('#') {
            found.push(command.to_owned());
        }
    }
    found
}

/// A folder as the reader has it: the samples, a list, and the program on the path.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp").arg("-r").arg(root().join("samples")).arg(desk.path()).status();
    assert!(copied.expect("cp").success());
    let users: String =
        (1..=30).map(|row| format!("{row:08x}-0000-4000-8000-000000000000,User {row}\n")).collect();
    fs::write(desk.path().join("users.csv"), format!("id,displayName\n{users}")).expect("users.csv");
    fs::create_dir(desk.path().join("bin")).expect("bin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_reprovision"), desk.path().join("bin/reprovision"))
        .expect("a link");
    desk
}

/// Creates the run folders that a page names as examples.
fn make_named_runs(desk: &Path, text: &str) {
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'' | ')')) {
        let Some((folder, file)) =
            word.rsplit_once('/').filter(|(folder, _)| folder.starts_with("reprovision-runs/"))
        else {
            continue;
        };
        if !matches!(file, "failed.csv" | "still-failing.csv") {
            continue;
        }
        fs::create_dir_all(desk.join(folder)).expect("the run's folder");
        fs::copy(desk.join("users.csv"), desk.join(folder).join(file)).expect("its list");
    }
}

/// Creates two finished runs with other lists, for pages that show reports.
fn make_whole_runs(desk: &Path, service: &Service) {
    for (name, user) in [("contoso", 1), ("fabrikam", 2)] {
        let list = desk.join(format!("{name}.csv"));
        fs::write(&list, format!("id\n{user:08x}-0000-4000-8000-000000000000\n")).expect("a list");
        let out = format!("reprovision-runs/20261123T021000Z-{name}-users");
        let output =
            bash(&format!("reprovision run {name}.csv --out {out}"), desk, service).output().expect("bash");
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// The examples of every command's help, as a page.
fn examples() -> String {
    let mut command = reprovision::cli::command();
    command.build();
    let mut helps = vec![command.render_long_help().to_string()];
    helps.extend(command.get_subcommands_mut().map(|inner| inner.render_long_help().to_string()));
    let mut page = String::new();
    for help in helps {
        let examples = help.lines().skip_while(|line| *line != "Examples:").skip(1);
        for line in examples.take_while(|line| line.starts_with("  reprovision ")) {
            page.push_str(&format!("```sh\n{line}\n```\n"));
        }
    }
    page
}

/// A shell command in `desk`, with the program on its path and signed in to a simulator.
fn bash(line: &str, desk: &Path, service: &Service) -> Command {
    let path = format!("{}:{}", desk.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command
        .args(["-o", "pipefail", "-c", line])
        .current_dir(desk)
        .env("PATH", path)
        .env("REPROVISION_TOKEN", &service.token)
        .env("REPROVISION_YES", "true")
        .env_remove("AZURE_TENANT_ID")
        .stdin(Stdio::null());
    if !line.contains("--simulate") {
        command.env("REPROVISION_ENDPOINT", &service.endpoint);
    }
    command
}

#[test]
fn every_command_in_the_docs_runs() {
    let mut shown: Vec<_> = pages()
        .into_iter()
        .map(|page| {
            let name = page.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&page).expect("a page"))
        })
        .collect();
    shown.push(("help".to_owned(), examples()));
    for (name, text) in shown {
        let mut ran = 0;
        let desk = desk();
        // Fifty users with errors who are served immediately. Other ids of a list also exist.
        let service = Service::of(
            desk.path(),
            "title = 'shown'\n[objects]\nusers = 50\nbroken = 1.0\nunknown_ids_exist = true\neffect_s = [0, 0]\n",
        );
        make_named_runs(desk.path(), &text);
        if text.contains("reprovision report --merge") {
            make_whole_runs(desk.path(), &service);
        }
        for line in lines(&text, &["sh", "bash"]) {
            if NOT_RUN.iter().any(|(start, _)| line.starts_with(start)) {
                continue;
            }
            // Sign-in settings are shown for Azure CLI. The test uses a token instead.
            if line.starts_with("export ") || line == "echo $?" {
                continue;
            }
            let line = line.replace("cargo run --release -- ", "reprovision ");
            assert!(
                line.contains("reprovision "),
                "{name}: this line is not a command of the program: {line}"
            );
            let output = bash(&line, desk.path(), &service)
                // The whole built-in list takes most of a minute, and `.ci/run` runs it once.
                .envs(line.contains("--simulate").then_some(("REPROVISION_LIMIT", "60")))
                .output()
                .expect("bash");
            assert!(
                output.status.code().is_some_and(|code| GOOD_ENDS.contains(&code)),
                "{name}: {line}\n{}\n{}",
                output.status,
                said(&output)
            );
            ran += 1;
        }
        let least = match name.as_str() {
            "help" => 10,
            "README.md" | "find-retry-verify.md" => 7,
            "reference.md" | "nightly-job.md" => 2,
            _ => 0,
        };
        assert!(ran >= least, "{name}: only {ran} commands were found: the reader of code blocks is broken");
    }
}

/// Commands that are shown with their output, and the lines of the output. `…` alone on a line is left out.
fn transcripts(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for block in text.split("```\n$ ").skip(1) {
        let block = block.split("\n```").next().unwrap_or_default();
        let mut lines = block.lines().map(str::to_owned);
        found.push((lines.next().unwrap_or_default(), lines.filter(|line| line != "…").collect()));
    }
    found
}

/// A line with `#` for each number, and paths of runs without the folders above them.
fn masked(line: &str) -> String {
    let mut out = String::new();
    for word in line.split(' ') {
        let word = word.find("reprovision-runs/").map_or(word, |at| &word[at..]);
        let mut digits = false;
        for c in word.chars() {
            if c.is_ascii_digit() {
                if !digits {
                    out.push('#');
                }
                digits = true;
            } else if !(digits && matches!(c, ',' | '.') && !word.ends_with(c)) {
                out.push(c);
                digits = false;
            }
        }
        out.push(' ');
    }
    out.trim_end().to_owned()
}

#[test]
fn every_transcript_in_the_docs_is_real_output() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let desk = desk();
        let service = Service::of(
            desk.path(),
            "title = 'shown'\n[objects]\nusers = 50\nbroken = 1.0\nunknown_ids_exist = true\neffect_s = [0, 0]\n",
        );
        // The default scenario, ten times as fast and with shorter pauses.
        let quick = include_str!("../../samples/scenarios/default.toml")
            .replace("writes_per_second = 60.0", "writes_per_second = 600.0")
            .replace("capacity = 120.0", "capacity = 1200.0")
            .replace("throttle_wait_s = [3, 5]", "throttle_wait_s = [1, 2]")
            .replace("effect_s = [2, 20]", "effect_s = [0, 0]");
        fs::write(desk.path().join("quick.toml"), quick).expect("the scenario");
        for (command, shown) in transcripts(&text) {
            let line = command.replace("--simulate", "--simulate=quick.toml");
            let output = bash(&line, desk.path(), &service).output().expect("bash");
            let said = said(&output).replace("--simulate=quick.toml", "--simulate");
            let printed: Vec<_> = said.lines().map(masked).collect();
            for line in shown {
                let wanted = masked(&line);
                assert!(
                    printed.contains(&wanted),
                    "{}: {command}: not printed: {line}\n{wanted}\n{said}",
                    page.display()
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 15, "only {checked} lines were compared: the reader of transcripts is broken");
}

#[test]
fn transcript_reader_finds_commands_and_output() {
    let text = "```\n$ reprovision x\none\n…\ntwo\n```\n```sh\n$ no\n```\n";
    assert_eq!(transcripts(text), [("reprovision x".to_owned(), vec!["one".to_owned(), "two".to_owned()])]);
    assert_eq!(
        masked("Run  NEW, /home/ann/reprovision-runs/2026Z-a  1,984 in 49.5/s, 5 s"),
        "Run  NEW, reprovision-runs/#Z-a  # in #/s, # s"
    );
}

#[test]
fn powershell_examples_match_bash_examples() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let bash: BTreeSet<_> = lines(&text, &["sh", "bash"]).into_iter().collect();
        for line in lines(&text, &["powershell"]).into_iter().filter(|line| line.starts_with("reprovision "))
        {
            assert!(
                bash.contains(&line),
                "{}: shown for PowerShell only, so nothing runs it: {line}",
                page.display()
            );
        }
    }
}

/// The parts of a message in a table that do not vary: the text between `…` and numbers.
fn fixed_parts(cell: &str) -> Vec<String> {
    cell.split(|c: char| matches!(c, '…' | ';' | ':') || c.is_ascii_digit())
        .map(|part| part.trim_matches(|c: char| !c.is_alphanumeric() && c != '-').to_owned())
        .filter(|part| part.len() > 3)
        .collect()
}

#[test]
fn messages_explained_in_the_docs_exist_in_the_program() {
    let mut source = String::new();
    let mut open = vec![root().join("src")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path => source.push_str(&fs::read_to_string(path).expect("source").replace("\\\"", "\"")),
            }
        }
    }
    let mut checked = 0;
    for (page, heading) in [("docs/input.md", "## Messages"), ("docs/how-it-works.md", "## When it waits")] {
        let text = fs::read_to_string(root().join(page)).expect("a page");
        let section =
            text.split(heading).nth(1).expect("the section").split("\n## ").next().expect("its text");
        for row in section.lines().filter(|line| line.starts_with("| ")).skip(1) {
            let cell = row.split('|').nth(1).expect("a cell").replace('`', "");
            for part in fixed_parts(&cell) {
                // A text in the source may be broken over lines and have values in parentheses.
                let found =
                    part.split(" (").all(|part| source.contains(part.split(')').next().unwrap_or(part)));
                assert!(found, "{page}: no message says {part:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 12, "only {checked} texts were compared: the reader of tables is broken");
}

#[test]
fn code_block_reader_finds_each_block() {
    let text = "```sh\nreprovision a \\\n  b   # note\n```\n```\nnot this\n```\n  ```powershell\n  reprovision c\n  ```\n";
    assert_eq!(lines(text, &["sh"]), ["reprovision a b"]);
    assert_eq!(lines(text, &["powershell"]), ["reprovision c"]);
}

//! Every command that README.md and docs/ show is run, in order, file by file, against a simulator in place of Microsoft 365.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::service::Service;

/// Commands of others, or that build: their first words, and why they are not run here.
const NOT_RUN: [(&str, &str); 9] = [
    ("cargo test", "this is it"),
    ("cargo bench", "measures for minutes; docs/performance.md has its figures"),
    ("cargo install", "builds what has been built"),
    ("cargo build", "builds what has been built"),
    ("tests/", "suites of their own, called by .ci/run"),
    ("bash .ci/run", "the gate calls this"),
    ("az ", "the Azure CLI is not ours"),
    ("kubectl ", "not ours"),
    ("openssl ", "not ours"),
];
/// Ends that are no failure of the command: complete, some rows failed, errors remain, a limit left it open.
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

/// Lines of code blocks by language; indented blocks and continued lines are made whole.
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

/// A folder as the reader has it: the samples, his list, an earlier run, and the program on the path.
fn desk() -> tempfile::TempDir {
    let desk = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp").arg("-r").arg(root().join("samples")).arg(desk.path()).status();
    assert!(copied.expect("cp").success());
    let users: String =
        (1..=30).map(|row| format!("{row:08x}-0000-4000-8000-000000000000,User {row}\n")).collect();
    fs::write(desk.path().join("users.csv"), format!("id,displayName\n{users}")).expect("users.csv");
    fs::create_dir(desk.path().join("bin")).expect("bin");
    #[cfg(unix)]
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_reprovision"), desk.path().join("bin/reprovision"))
        .expect("a link");
    desk
}

/// Run folders that a page names by example, made real.
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

#[cfg(unix)]
#[test]
fn every_shown_command_runs() {
    let mut ran = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let desk = desk();
        // Fifty broken users who are served at once, and whoever else stands in a list.
        let service = Service::of(
            desk.path(),
            "title = 'shown'\n[objects]\nusers = 50\nbroken = 1.0\nstrangers = true\neffect_s = [0, 0]\n",
        );
        make_named_runs(desk.path(), &text);
        for line in lines(&text, &["sh", "bash"]) {
            if NOT_RUN.iter().any(|(start, _)| line.starts_with(start)) {
                continue;
            }
            // A token command of the Azure CLI is shown; the token stands ready instead.
            if line.starts_with("export ") || line == "echo $?" {
                continue;
            }
            let line = line.replace("cargo run --release -- ", "reprovision ");
            let name = page.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(line.contains("reprovision "), "{name}: nobody runs this: {line}");
            let path = format!(
                "{}:{}",
                desk.path().join("bin").display(),
                std::env::var("PATH").unwrap_or_default()
            );
            let output = Command::new("bash")
                .args(["-o", "pipefail", "-c", &line])
                .current_dir(desk.path())
                .env("PATH", path)
                .env("REPROVISION_TOKEN", &service.token)
                .env("REPROVISION_YES", "true")
                .env_remove("AZURE_TENANT_ID")
                // The whole built-in list takes most of a minute: `.ci/run` shows that once.
                .envs(line.contains("--simulate").then_some(("REPROVISION_LIMIT", "60")))
                .envs(
                    (!line.contains("--simulate"))
                        .then_some(("REPROVISION_ENDPOINT", service.endpoint.as_str())),
                )
                .stdin(Stdio::null())
                .output()
                .expect("bash");
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                output.status.code().is_some_and(|code| GOOD_ENDS.contains(&code)),
                "{name}: {line}\n{}\n{said}",
                output.status
            );
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} commands were found: the reader of code blocks is broken");
}

#[test]
fn what_is_shown_for_powershell_is_what_is_shown_for_bash() {
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

#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.starts_with("http") {
                continue;
            }
            let path =
                if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
            assert!(path.exists(), "{}: {target}", page.display());
            if !anchor.is_empty() && path.extension().is_some_and(|kind| kind == "md") {
                let there = fs::read_to_string(&path).expect("a page");
                let anchors: Vec<_> =
                    there.lines().filter(|line| line.starts_with('#')).map(anchor_of).collect();
                assert!(anchors.iter().any(|known| known == anchor), "{}: {target}", page.display());
            }
        }
    }
}

/// As code hosts derive it from a heading.
fn anchor_of(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn the_reader_of_code_blocks_sees_what_it_should() {
    let text = "```sh\nreprovision a \\\n  b   # note\n```\n```\nnot this\n```\n  ```powershell\n  reprovision c\n  ```\n";
    assert_eq!(lines(text, &["sh"]), ["reprovision a b"]);
    assert_eq!(lines(text, &["powershell"]), ["reprovision c"]);
}

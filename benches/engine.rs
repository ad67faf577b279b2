//! The whole program against its simulator without throttling, from input to reports.

use std::fs;
use std::process::{Command, Stdio};

use divan::Bencher;
use divan::counter::ItemsCount;

/// Users of one run, so many that the start of the program does not matter.
const USERS: u64 = 10_000;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 5, sample_size = 1, args = [1, 20])]
fn run(bencher: Bencher<'_, '_>, batch: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let users: String = (1..=USERS).map(|row| format!("{row:08x}-0000-4000-8000-{row:012x}\n")).collect();
    fs::write(folder.path().join("users.csv"), format!("id\n{users}")).expect("the input");
    fs::write(folder.path().join("open.toml"), "title = 'no limit, no latency'\n").expect("the scenario");
    bencher.counter(ItemsCount::new(USERS)).bench(|| {
        let status = Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["run", "users.csv", "--simulate=open.toml", "--new-run", "--progress", "none"])
            .args(["--rate", "fixed:100000", "--concurrency", "64", "--batch", &batch.to_string()])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("the program runs");
        assert!(status.success());
    });
}

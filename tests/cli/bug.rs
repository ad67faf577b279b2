//! A panic in the program: what is said of it, and the exit code.

use std::io::Write;
use std::process::{Command, Output};

use reprovision::terminal::guarded;

/// Says to this test binary that it is to be the program that panics, and where.
const PLAY: &str = "REPROVISION_TEST_PLAY";
/// What a panic must not show.
const CANARY: &str = "canary-of-no-value";

/// This test again, in a process of its own: a hook belongs to a process.
fn played(place: &str) -> Output {
    let program = std::env::current_exe().expect("this binary");
    let name = "bug::panic_is_reported_without_secrets_and_exits_1";
    let mut command = Command::new(program);
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(PLAY, place);
    command.env_remove("RUST_BACKTRACE").output().expect("it runs")
}

#[test]
fn panic_is_reported_without_secrets_and_exits_1() {
    if let Ok(place) = std::env::var(PLAY) {
        let code = guarded(|_| match place.as_str() {
            "main" => panic!("no header for {CANARY}{}", place.len()),
            "thread" => {
                let ended = std::thread::spawn(|| panic!("a literal")).join();
                u8::from(ended.is_ok())
            }
            _ => 5,
        });
        writeln!(std::io::stdout(), "code {code}.").expect("said");
        return;
    }
    for (place, code, part) in [("main", 1, "bug.rs:"), ("thread", 1, ": a literal"), ("nowhere", 5, "")] {
        let output = played(place);
        let (printed, said) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains(&format!("code {code}.")), "{place}: {printed}{said}");
        assert!(said.contains(part) && !said.contains(CANARY), "{place}: {said}");
        assert_eq!(said.contains("please report"), code == 1, "{place}: {said}");
    }
}

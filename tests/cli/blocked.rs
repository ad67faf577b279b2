//! A standard error that nobody reads, full before anything was sent: signals end the program all the same.

use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::sign_in_support::Stage;

/// Longest wait for an end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pipe into which nothing more fits.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("its flags");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
    while writer.write(&[b'.'; 512]).is_ok() {}
    while writer.write(b".").is_ok() {}
    fcntl_setfl(&writer, flags).expect("set");
    (reader, writer)
}

#[test]
fn signal_ends_program_whose_messages_are_not_read() {
    for command in [&["run", "users.csv", "--yes", "--out", "out"][..], &["find", "--summary"][..]] {
        for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
            let stage = Stage::new("writes_per_second = 0.0\n", 3);
            let (_reader, writer) = full();
            let arguments: Vec<&str> = command.iter().copied().chain(["--auth", "secret", "-v"]).collect();
            let mut child =
                stage.program(&arguments, &stage.secret()).stderr(writer).spawn().expect("started");
            // By then it listens, and what it says next does not get through.
            while stage.simulator.ledger().tokens == 0 {
                assert_eq!(child.try_wait().expect("a child"), None, "{command:?} ended by itself");
                std::thread::sleep(Duration::from_millis(10));
            }
            let asked = Instant::now();
            let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(sent.expect("kill").success());
            let ended = loop {
                if let Some(ended) = child.try_wait().expect("a child") {
                    break ended;
                }
                if asked.elapsed() > PATIENCE {
                    child.kill().expect("killed");
                    child.wait().expect("ended");
                    panic!("{command:?} does not hear {signal}");
                }
                std::thread::sleep(Duration::from_millis(10));
            };
            // What only reads may have come to its end by then.
            let over = command[0] == "find" && ended.code() == Some(0);
            assert!(over || ended.code() == Some(code), "{command:?} {signal}: {ended}");
        }
    }
}

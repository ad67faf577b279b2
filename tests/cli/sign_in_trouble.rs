//! Trouble with the sign-in in the middle of the work: what is said, what is kept, and what goes on.

use std::fs;
#[cfg(unix)]
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Output;
#[cfg(unix)]
use std::process::Stdio;
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use serde_json::Value;

use crate::sign_in_support::{Stage, said};

const CALM: &str = "writes_per_second = 0.0\n";

fn steadily(stage: &Stage, rate: &str) -> std::process::Command {
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "secret", "--rate", rate];
    stage.program(&command, &stage.secret())
}

fn notes(stage: &Stage) -> Vec<String> {
    let text = fs::read_to_string(stage.folder.path().join("out/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&text).expect("JSON");
    serde_json::from_value(summary["notes"].clone()).expect("notes")
}

/// How often a text was printed.
fn count(output: &Output, part: &str) -> usize {
    String::from_utf8_lossy(&output.stderr).matches(part).count()
}

#[test]
fn failed_renewal_is_reported_once_with_the_token_expiry() {
    let rules = format!("{CALM}[token]\nlife_s = 4\nfaults = [503, 503]\nfaults_after = 1\n");
    let stage = Stage::new(&rules, 200);
    let output = steadily(&stage, "fixed:40").output().expect("the program runs");
    stage.all_accepted(&output);
    assert_eq!(stage.simulator.ledger().by_status.get(&401), None, "{}", said(&output));
    let (trouble, end) =
        ("warning: no new token: sign-in at 127.0.0.1 failed: AADSTS90033", "the sign-in works again");
    assert_eq!((count(&output, trouble), count(&output, end)), (1, 1), "{}", said(&output));
    let notes = notes(&stage);
    assert!(notes.len() == 2 && notes[0].starts_with(trouble) && notes[1].starts_with(end), "{notes:?}");
    let account = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(account.contains("Note      no new token: sign-in at 127.0.0.1"), "{account}");
}

#[test]
fn captive_portal_at_the_sign_in_host_is_named() {
    let stage = Stage::new(&format!("{CALM}[token]\nfaults = [200]\n"), 3);
    stage.refused(&stage.run("secret", &stage.secret()), "a web page instead of a token: a captive portal");
}

#[test]
fn long_pause_at_the_sign_in_host_exits_6_immediately() {
    let stage = Stage::new(&format!("{CALM}[token]\nfaults = [429]\nfaults_wait_s = 3600\n"), 3);
    stage.refused(&stage.run("secret", &stage.secret()), "it asks for a pause of 3600 s");
}

#[test]
fn clock_jump_during_a_run_is_reported_once() {
    let stage = Stage::new(CALM, 200);
    let child = steadily(&stage, "fixed:60").spawn().expect("started");
    while stage.simulator.ledger().arrivals < 20 {
        std::thread::sleep(Duration::from_millis(20));
    }
    // The service's clock moves on by a quarter of an hour: the same as this machine's being set back.
    let url = format!("{}/__advance?900", stage.simulator.url());
    let answer = stage.runtime.block_on(async {
        let authority = stage.simulator.authority().expect("TLS");
        let network = reprovision::net::Network {
            timeout: Duration::from_secs(5),
            http1: false,
            roots: vec![reqwest::Certificate::from_pem(authority.as_bytes()).expect("a CA")],
            machine: None,
        };
        let url = url::Url::parse(&url).expect("a URL");
        let http = network.client(&url).expect("a client");
        http.get(url).send().await.expect("an answer").status()
    });
    assert_eq!(answer, 200);
    let output = child.wait_with_output().expect("ended");
    stage.all_accepted(&output);
    let said_of_it =
        "warning: this machine's clock is 15 min behind the service's: sign-in fails beyond five minutes";
    // A second at the boundary may round down.
    let rounded = said_of_it.replace("15 min", "14 min");
    assert_eq!(count(&output, said_of_it) + count(&output, &rounded), 1, "{}", said(&output));
    assert_eq!(notes(&stage).len(), 1);
}

/// A named pipe in the folder of the list.
#[cfg(unix)]
fn make_pipe(stage: &Stage) {
    let made = std::process::Command::new("mkfifo").arg(stage.folder.path().join("pipe")).status();
    assert!(made.expect("mkfifo").success());
}

/// The other end of the pipe, once the program has opened it.
#[cfg(unix)]
fn writer(stage: &Stage, child: &mut std::process::Child) -> fs::File {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag");
    let mut options = fs::File::options();
    options.write(true).custom_flags(flags);
    loop {
        // As long as nobody reads, there is none.
        if let Ok(writer) = options.open(stage.folder.path().join("pipe")) {
            return writer;
        }
        let ended = child.try_wait().expect("asked");
        assert!(ended.is_none(), "{ended:?} without a look at the pipe");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("kill").success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_works_while_the_settings_pipe_is_empty() {
    let stage = Stage::new(CALM, 3);
    make_pipe(&stage);
    let command = ["run", "users.csv", "--yes", "--out", "out"];
    let [app, secret] = stage.secret();
    let roots = stage.program(&command, &[app, secret, ("SSL_CERT_FILE", "pipe")]);
    let mut scenario = std::process::Command::new(env!("CARGO_BIN_EXE_reprovision"));
    scenario.args(command).arg("--simulate=pipe").current_dir(stage.folder.path());
    for mut started in [roots, scenario] {
        let mut child = started.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let writer = writer(&stage, &mut child);
        let asked = Instant::now();
        interrupt(&child);
        while child.try_wait().expect("asked").is_none() && asked.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let output = child.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), Some(130), "{started:?}: {}", said(&output));
        drop(writer);
    }
}

#[cfg(unix)]
#[test]
fn root_certificates_from_a_pipe_serve_all_clients() {
    let stage = Stage::new(CALM, 3);
    make_pipe(&stage);
    // What is trusted besides them is somebody else's.
    let other =
        fs::read_to_string(crate::sign_in_support::fixture("app.pem")).expect("a certificate and its key");
    let other = &other[other.find("-----BEGIN CERTIFICATE").expect("the certificate")..];
    fs::write(stage.folder.path().join("ca.pem"), other).expect("written");
    let [app, secret] = stage.secret();
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "secret"];
    let mut child =
        stage.program(&command, &[app, secret, ("SSL_CERT_FILE", "pipe")]).spawn().expect("started");
    let authority = stage.simulator.authority().expect("TLS");
    writer(&stage, &mut child).write_all(authority.as_bytes()).expect("written");
    // All files are looked at for secrets, and nobody writes this one any more.
    fs::remove_file(stage.folder.path().join("pipe")).expect("removed");
    stage.all_accepted(&child.wait_with_output().expect("ended"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_works_while_the_key_file_pipe_is_empty() {
    let stage = Stage::new(CALM, 3);
    make_pipe(&stage);
    for variables in [
        &[stage.secret()[0], ("AZURE_CLIENT_CERTIFICATE_PATH", "pipe")][..],
        &[("REPROVISION_TOKEN_FILE", "pipe")][..],
    ] {
        let command = ["run", "users.csv", "--yes", "--out", "out"];
        let mut child = stage.program(&command, variables).spawn().expect("started");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut read = String::new();
        while !read.contains("not set up") {
            assert!(lines.read_line(&mut read).expect("text") > 0, "{read}");
        }
        let asked = Instant::now();
        interrupt(&child);
        lines.read_to_string(&mut read).expect("text");
        assert_eq!(child.wait().expect("ended").code(), Some(130), "{read}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}: {read}", asked.elapsed());
    }
}

#[cfg(unix)]
#[test]
fn token_from_a_pipe_is_used() {
    let stage = Stage::new(CALM, 3);
    let token = stage.simulator.token();
    let mut child = stage
        .program(
            &["run", "users.csv", "--yes", "--out", "out", "--auth", "token", "--token-file", "/dev/stdin"],
            &[],
        )
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("written");
    stage.all_accepted(&child.wait_with_output().expect("ended"));
}

/// Another program writes a new token all the time, whole each time.
#[cfg(unix)]
fn with_a_writer(stage: &Stage, work: impl FnOnce() -> Output) -> Output {
    let (token, beside) =
        (stage.folder.path().join("given.token"), stage.folder.path().join("next-given.token"));
    let write = || {
        fs::write(&beside, stage.simulator.token()).expect("written");
        fs::rename(&beside, &token).expect("in its place");
    };
    write();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(200));
                write();
            }
        });
        let output = work();
        over.store(true, Relaxed);
        output
    })
}

#[cfg(unix)]
#[test]
fn token_file_and_command_are_read_again_at_renewal() {
    for way in ["--token-file=given.token", "--token-command=cat given.token; echo once more >> asked"] {
        let stage = Stage::new(&format!("{CALM}[token]\nlife_s = 2\n"), 200);
        let command =
            ["run", "users.csv", "--yes", "--out", "out", "--auth", "token", "--rate", "fixed:40", way];
        let output =
            with_a_writer(&stage, || stage.program(&command, &[]).output().expect("the program runs"));
        stage.all_accepted(&output);
        // Five seconds of work are more than two lives.
        let asked = fs::read_to_string(stage.folder.path().join("asked")).unwrap_or_default();
        assert!(way.starts_with("--token-file") || asked.lines().count() > 2, "{asked}{}", said(&output));
    }
}

/// Schedulers end a job with SIGTERM and a few seconds of grace; a sign-in may take minutes.
#[cfg(unix)]
#[test]
fn every_command_that_signs_in_ends_at_a_signal() {
    let stage = Stage::new(CALM, 3);
    let done = stage.run("secret", &stage.secret());
    stage.all_accepted(&done);
    let asks = "echo asked > asked; exec sleep 50";
    for command in
        [&["find"][..], &["verify", "out"], &["sweep", "--yes"], &["run", "users.csv", "--yes", "--new-run"]]
    {
        for (signal, code) in [("-TERM", 143), ("-HUP", 143), ("-INT", 130)] {
            let variables = [("REPROVISION_TOKEN_COMMAND", asks), ("REPROVISION_AUTH", "token")];
            let mut child = stage.program(command, &variables).spawn().expect("started");
            let asked = stage.folder.path().join("asked");
            while !asked.exists() {
                let ended = child.try_wait().expect("asked");
                assert!(ended.is_none(), "{command:?} ends without asking for a token: {ended:?}");
                std::thread::sleep(Duration::from_millis(10));
            }
            let killed = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(killed.expect("kill").success());
            let begun = Instant::now();
            while child.try_wait().expect("asked").is_none() && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let output = child.wait_with_output().expect("ended");
            assert_eq!(output.status.code(), Some(code), "{command:?} {signal}: {}", said(&output));
            assert!(said(&output).contains("stopped; nothing was "), "{command:?}: {}", said(&output));
            fs::remove_file(asked).expect("removed");
        }
    }
}

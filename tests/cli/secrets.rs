//! Where a secret could get out: to other programs, to a wrong host, to everybody on the machine.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::sign_in_support::{Stage, fixture, said};

const CALM: &str = "writes_per_second = 0.0\n";

#[test]
fn world_readable_key_causes_a_warning() {
    let stage = Stage::new(CALM, 3);
    let key = stage.folder.path().join("given.token");
    fs::copy(fixture("app.pem"), &key).expect("copied");
    let token = stage.folder.path().join("also-given.token");
    fs::write(&token, stage.simulator.token()).expect("written");
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        for (auth, variable, file) in [
            ("certificate", "AZURE_CLIENT_CERTIFICATE_PATH", &key),
            ("token", "REPROVISION_TOKEN_FILE", &token),
        ] {
            fs::set_permissions(file, Permissions::from_mode(mode)).expect("set");
            let value = file.to_string_lossy();
            let output = stage.run(auth, &[stage.secret()[0], (variable, &value)]);
            stage.all_accepted(&output);
            let said = said(&output);
            assert_eq!(
                said.contains("every user of this machine may read or change"),
                warned,
                "{mode:o}: {said}"
            );
            fs::remove_dir_all(stage.folder.path().join("out")).expect("removed");
        }
    }
}

#[test]
fn credential_variable_that_is_not_utf8_is_not_sent() {
    let stage = Stage::new(CALM, 3);
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "secret"];
    let output = stage
        .program(&command, &stage.secret())
        .env("ODD", OsStr::from_bytes(b"\xff\xfe"))
        .env(OsStr::from_bytes(b"\xffNAME"), "odd")
        .output()
        .expect("the program runs");
    stage.all_accepted(&output);
}

#[test]
fn browser_sign_in_sends_no_secret() {
    let stage = Stage::new(CALM, 3);
    let folder = stage.folder.path();
    let browser = folder.join("browser");
    fs::write(&browser, "#!/bin/sh\nenv > seen; mv seen all\n").expect("written");
    fs::set_permissions(&browser, Permissions::from_mode(0o755)).expect("set");
    let command = ["run", "users.csv", "--yes", "--out", "out", "--auth", "browser"];
    let secrets = ["AZURE_CLIENT_SECRET", "REPROVISION_TOKEN", "IDENTITY_HEADER", "SYSTEM_ACCESSTOKEN"];
    let mut program = stage.program(&command, &[stage.secret()[0]]);
    program.env("BROWSER", &browser).stderr(Stdio::null());
    for secret in secrets {
        program.env(secret, "of-no-value");
    }
    let mut child = program.spawn().expect("started");
    let end = Instant::now() + Duration::from_secs(20);
    let seen = loop {
        match fs::read_to_string(folder.join("all")) {
            Ok(seen) => break seen,
            Err(_) => assert!(Instant::now() < end, "the browser was not started"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(seen.contains("AZURE_CLIENT_ID=") && !seen.contains("of-no-value"), "{seen}");
}

/// The program by itself, without any service.
fn alone(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_reprovision"));
    program.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    program.output().expect("the program runs")
}

#[test]
fn path_or_port_does_not_change_the_graph_host() {
    let app = [("AZURE_CLIENT_ID", "a"), ("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_SECRET", "canary")];
    for (endpoint, authority, part) in [
        ("https://graph.microsoft.us/", None, "belongs to --cloud usgov"),
        ("https://graph.microsoft.us/x", None, "belongs to --cloud usgov"),
        ("https://GRAPH.microsoft.us:8443", None, "belongs to --cloud usgov"),
        ("https://graph.microsoft.us./", None, "belongs to --cloud usgov"),
        (
            "https://graph.microsoft.com/x",
            Some("https://login.example"),
            "not a sign-in host of --cloud global",
        ),
        (
            "https://graph.microsoft.com:444",
            Some("https://login.example"),
            "not a sign-in host of --cloud global",
        ),
        (
            "https://graph.microsoft.com",
            Some("https://login.microsoftonline.com@login.example"),
            "not a sign-in host of --cloud global",
        ),
        ("https://graph.microsoft.com/v1.0", None, "leave that to --api-version"),
        ("https://ann:word@graph.microsoft.com", None, "must hold no user"),
    ] {
        let authority = authority.map(|authority| ("AZURE_AUTHORITY_HOST", authority));
        let variables: Vec<_> = app.into_iter().chain(authority).collect();
        // Nobody listens at the proxy: whatever is not refused before would end otherwise.
        let variables = [&variables[..], &[("HTTPS_PROXY", "http://127.0.0.1:9")]].concat();
        let arguments = ["find", "--auth", "secret", "--endpoint", endpoint];
        let output = alone(&arguments, &variables);
        assert_eq!(output.status.code(), Some(2), "{endpoint}: {}", said(&output));
        assert!(said(&output).contains(part), "{endpoint}: {part:?} is not in {}", said(&output));
        assert!(!said(&output).contains("canary"), "{endpoint}");
    }
}

#[test]
fn foreign_host_is_named_before_it_gets_a_token() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(["find", "--endpoint", "https://graph.example"])
        .env_clear()
        .envs([("REPROVISION_TOKEN", "canary-token"), ("HTTPS_PROXY", "http://127.0.0.1:9")])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map(|line| line.expect("text"));
    let part = "warning: --endpoint is not Microsoft's: tokens for https://graph.microsoft.com are sent to graph.example";
    // Before anything else: nobody listens at the proxy, and finding that out may take as long as it likes.
    assert_eq!(lines.take(1).collect::<Vec<_>>(), [part]);
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn remote_identity_endpoint_gets_no_key_over_http() {
    let variables = [("IDENTITY_ENDPOINT", "http://198.51.100.7/msi/token"), ("IDENTITY_HEADER", "canary")];
    let output = alone(&["find", "--auth", "managed-identity"], &variables);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("would leave in the clear"), "{}", said(&output));
}

#[test]
fn tenant_check_that_cannot_compare_stops_the_run() {
    let stage = Stage::new(CALM, 3);
    let token = stage.simulator.token();
    let variables =
        [("REPROVISION_TOKEN", token.as_str()), ("REPROVISION_EXPECT_TENANT", stage.simulator.tenant_id())];
    stage.refused(&stage.run("token", &variables), "cannot check --expect-tenant");
}

#[cfg(unix)]
#[test]
fn token_command_is_not_printed_or_stored() {
    let stage = Stage::new(CALM, 5);
    fs::write(stage.folder.path().join("given.token"), stage.simulator.token()).expect("written");
    let line = "echo 'Authorization: secret-of-no-value' > unread; rm unread; cat given.token";
    let command = ["run", "users.csv", "--yes", "--out", "out", "--limit", "3", "-vvv"];
    let given = format!("--token-command={line}");
    let mut program = stage.program(&command, &[]);
    let output = program.arg(&given).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let goes_on = said(&output);
    let goes_on = goes_on.lines().find(|line| line.contains(" run users.csv --yes")).expect("how to go on");
    assert!(goes_on.ends_with("   # with the same --token-command"), "{goes_on}");
    stage.no_secrets(&output);
}

/// Another user without rights: what the system keeps from everybody it shows to root.
#[cfg(target_os = "linux")]
const NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];

#[cfg(target_os = "linux")]
#[test]
fn process_environment_is_unreadable_and_no_core_is_dumped() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("set");
    let program = folder.path().join("reprovision");
    fs::copy(env!("CARGO_BIN_EXE_reprovision"), &program).expect("copied");
    let as_user: &[&str] = if rustix::process::getuid().is_root() { &NOBODY } else { &["env"] };
    let start = |words: &[&OsStr]| {
        let mut command = Command::new(as_user[0]);
        command.args(&as_user[1..]).args(words).current_dir("/").env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("REPROVISION_TOKEN", "canary")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let mut child = start(&[program.as_os_str(), "simulate".as_ref()]).spawn().expect("started");
    let mut said = BufReader::new(child.stdout.take().expect("piped"));
    said.read_line(&mut String::new()).expect("it runs");
    let file = |name: &str| format!("/proc/{}/{name}", child.id());
    let environment = start(&["cat".as_ref(), file("environ").as_ref()]).output().expect("cat");
    let limits = fs::read_to_string(file("limits")).expect("limits");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let why = String::from_utf8_lossy(&environment.stderr);
    assert!(environment.stdout.is_empty() && why.contains("Permission denied"), "{environment:?}");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

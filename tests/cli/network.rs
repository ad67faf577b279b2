//! Networks that bar the way for good: few tries, the cause, and what works instead. Addresses are of a network that nobody has.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::sign_in_support::said;

/// A host of the network for documentation.
const NOWHERE: &str = "https://192.0.2.1";
const PASSWORD: &str = "canary-password";

/// A server that counts its connections and gives each to `serve`.
fn server(serve: fn(&mut TcpStream)) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Relaxed);
            std::thread::spawn(move || serve(&mut stream));
        }
    });
    (port, count)
}

/// Reads a head and answers with 407 and these lines.
fn refuse(stream: &mut TcpStream, offers: &str) {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length @ 1..) => head.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let answer = format!(
        "HTTP/1.1 407 Proxy Authentication Required\r\n{offers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(answer.as_bytes());
}

/// `run` of forty users, 32 at once, with a token or a secret.
fn run(endpoint: &str, secret: bool, variables: &[(&str, &str)]) -> Output {
    let auth = if secret { "secret" } else { "token" };
    let arguments = ["run", "users.csv", "--yes", "--out", "out", "--endpoint", endpoint, "--auth", auth];
    command(&arguments, secret, variables)
}

/// The program in a folder with a list of forty users.
fn command(arguments: &[&str], secret: bool, variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String = (1..=40).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    std::fs::write(folder.path().join("users.csv"), format!("id\n{rows}")).expect("the input");
    Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(arguments)
        .args(["--timeout", "5s"])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("AZURE_TENANT_ID", "51a51a51-0000-4000-8000-000000000001")
        .env("AZURE_AUTHORITY_HOST", NOWHERE)
        .env("AZURE_CLIENT_ID", "51a51a51-0000-4000-8000-0000000000a9")
        .env(if secret { "AZURE_CLIENT_SECRET" } else { "REPROVISION_TOKEN" }, "canary-opaque")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn ended(output: &Output, codes: &[i32], part: &str) {
    let said = said(output);
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{:?}: {said}", output.status);
    assert!(said.contains(part), "{part:?} is not in: {said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn proxy_that_rejects_the_sign_in_is_tried_once() {
    let negotiate: fn(&mut TcpStream) =
        |stream| refuse(stream, "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n");
    let basic: fn(&mut TcpStream) = |stream| refuse(stream, "Proxy-Authenticate: Basic realm=\"x\"\r\n");
    for secret in [false, true] {
        for (serve, user, part) in [
            (negotiate, "", "accepts only Negotiate and NTLM (407)"),
            (basic, "", "wants a user and a password (407)"),
            (basic, "ann:canary-password@", "rejects the user and password in HTTPS_PROXY (407)"),
        ] {
            let (port, count) = server(serve);
            let proxy = format!("http://{user}127.0.0.1:{port}");
            let output = run(NOWHERE, secret, &[("HTTPS_PROXY", &proxy)]);
            ended(&output, &[6], part);
            assert_eq!(count.load(Relaxed), 1, "{part}");
        }
    }
}

#[test]
fn lasting_faults_before_the_first_answer_cost_three_tries() {
    // A SOCKS proxy that wants another password; a server that does not speak TLS.
    let (socks, asked) = server(|stream| {
        let mut piece = [0; 512];
        let _ = stream.read(&mut piece);
        let _ = stream.write_all(&[5, 2]);
        let _ = stream.read(&mut piece);
        let _ = stream.write_all(&[1, 1]);
    });
    let proxy = format!("socks5://ann:{PASSWORD}@127.0.0.1:{socks}");
    ended(&run(NOWHERE, false, &[("HTTPS_PROXY", &proxy)]), &[6], "a wrong user or password");
    assert_eq!(asked.swap(0, Relaxed), 3);
    ended(&run(NOWHERE, true, &[("HTTPS_PROXY", &proxy)]), &[6], "a wrong user or password");
    assert_eq!(asked.load(Relaxed), 1, "of the sign-in");
    let (plain, asked) = server(|stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 This is not TLS\r\nContent-Length: 0\r\n\r\n");
    });
    ended(&run(&format!("https://127.0.0.1:{plain}"), false, &[]), &[6], "does not speak TLS");
    assert_eq!(asked.load(Relaxed), 3);
}

#[test]
fn proxy_that_does_not_answer_ends_the_run_within_seconds() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    for scheme in ["http", "socks5"] {
        let proxy = format!("{scheme}://127.0.0.1:{free}");
        let output =
            command(&["find", "--endpoint", NOWHERE, "--auth", "token"], false, &[("HTTPS_PROXY", &proxy)]);
        ended(&output, &[5], "does not answer");
        for secret in [false, true] {
            let began = std::time::Instant::now();
            ended(&run(NOWHERE, secret, &[("HTTPS_PROXY", &proxy)]), &[5, 6], "does not answer");
            assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        }
    }
    ended(&run("https://graph.invalid", false, &[]), &[5, 6], "");
}

//! What tests share: the program started in a folder, and a simulator with TLS against which it signs in.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reprovision::simulator::{Scenario, Simulator};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A simulator on a runtime of its own, and a folder with a list.
pub(crate) struct Stage {
    // Dropped in this order: the simulator ends on its runtime.
    pub(crate) simulator: Simulator,
    pub(crate) runtime: Runtime,
    pub(crate) folder: TempDir,
}

/// A made-up certificate with its key.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Stage {
    /// `rules` is the body of a scenario file.
    pub(crate) fn new(rules: &str, users: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let scenario = folder.path().join("scenario.toml");
        fs::write(&scenario, format!("title = \"sign-in\"\n{rules}")).expect("the scenario");
        let scenario =
            Scenario::load(&scenario.to_string_lossy(), |path| fs::read(path)).expect("a scenario");
        let runtime = Runtime::new().expect("a runtime");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = runtime.block_on(Simulator::start_tls(scenario, address)).expect("a port");
        fs::write(folder.path().join("ca.pem"), simulator.authority().expect("TLS")).expect("the CA");
        let rows: String =
            (1..=users).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
        fs::write(folder.path().join("users.csv"), format!("id\n{rows}")).expect("the input");
        Self { simulator, runtime, folder }
    }

    /// The program against this simulator: nothing of the surroundings but `PATH`.
    pub(crate) fn program(&self, command: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_reprovision"));
        program
            .args(command)
            .args(["--endpoint", &self.simulator.url(), "--ca-file", "ca.pem"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AZURE_AUTHORITY_HOST", self.simulator.url())
            .env("AZURE_TENANT_ID", self.simulator.tenant_id())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in variables {
            program.env(name, value);
        }
        program
    }

    /// `run` of the list with a way to sign in.
    pub(crate) fn run(&self, auth: &str, variables: &[(&str, &str)]) -> Output {
        let command = ["run", "users.csv", "--yes", "--out", "out", "-vvv", "--auth", auth];
        self.program(&command, variables).output().expect("the program runs")
    }

    /// App and secret as variables.
    pub(crate) fn secret(&self) -> [(&'static str, &'static str); 2] {
        let (app, secret) = self.simulator.app();
        [("AZURE_CLIENT_ID", app), ("AZURE_CLIENT_SECRET", secret)]
    }

    /// Every row has its record, and each is accepted.
    pub(crate) fn all_accepted(&self, output: &Output) {
        assert_eq!(output.status.code(), Some(0), "{}", said(output));
        let mut reader = csv::Reader::from_path(self.folder.path().join("out/results.csv")).expect("results");
        let rows = reader
            .records()
            .map(|record| record.expect("a record"))
            .filter(|row| &row[2] == "accepted")
            .count();
        let asked =
            fs::read_to_string(self.folder.path().join("users.csv")).expect("the input").lines().count() - 1;
        assert_eq!(rows, asked, "{}", said(output));
        self.no_secrets(output);
    }

    /// Exit 6 with this in the message, and a tenant that nobody wrote to.
    pub(crate) fn refused(&self, output: &Output, part: &str) {
        assert_eq!(output.status.code(), Some(6), "{}", said(output));
        assert!(said(output).contains("reprovision help sign-in"), "{}", said(output));
        assert!(said(output).contains(part), "{part:?} is not in: {}", said(output));
        assert_eq!(self.simulator.ledger().arrivals, 0, "nothing reached the tenant: {}", said(output));
        self.no_secrets(output);
    }

    /// No secret in what was printed, nor in any file that was written.
    pub(crate) fn no_secrets(&self, output: &Output) {
        let mut texts = vec![("output".to_owned(), said(output).into_bytes())];
        let mut open = vec![self.folder.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                match entry.path() {
                    path if path.is_dir() => open.push(path),
                    path => texts.push((path.display().to_string(), fs::read(&path).expect("a file"))),
                }
            }
        }
        let key = fs::read_to_string(fixture("app.pem")).expect("the key");
        let key_line =
            key.lines().skip_while(|line| !line.contains("PRIVATE KEY")).nth(3).expect("a line").to_owned();
        // Tokens of the simulator begin with its fixed head; every secret of its own ends alike.
        let secrets = ["of-no-value", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "Bearer ey", key_line.as_str()];
        for (name, bytes) in texts.iter().filter(|(name, _)| !name.ends_with("given.token")) {
            let text = String::from_utf8_lossy(bytes);
            for secret in secrets {
                assert!(!text.contains(secret), "{secret} is in {name}: {text:.2000}");
            }
        }
    }
}

/// Runs the program in a folder, with nobody to ask and no tenant or token but those it is told.
pub(crate) fn reprovision(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reprovision"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("REPROVISION_TOKEN")
        .env_remove("AZURE_TENANT_ID")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Both streams.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

//! The simulator as a program of its own, for tests that run several commands against one tenant.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ended when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) endpoint: String,
    pub(crate) token: String,
}

impl Service {
    /// With a built-in scenario or a scenario file.
    pub(crate) fn start(scenario: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_reprovision"))
            .args(["simulate", scenario])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut wanted = |name: &str| {
            let line = said.find(|line| line.starts_with(name)).expect("the simulator says it");
            line[name.len()..].trim().to_owned()
        };
        let (endpoint, token) = (wanted("endpoint"), wanted("token"));
        std::thread::spawn(move || said.for_each(drop));
        Self { child, endpoint, token }
    }

    /// With a scenario given as TOML.
    pub(crate) fn of(folder: &Path, scenario: &str) -> Self {
        let file = folder.join("scenario.toml");
        std::fs::write(&file, scenario).expect("the scenario");
        Self::start(file.to_str().expect("UTF-8"))
    }

    /// The program, signed in to this tenant.
    pub(crate) fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprovision"));
        command
            .args(arguments)
            .current_dir(folder)
            .env("REPROVISION_ENDPOINT", &self.endpoint)
            .env("REPROVISION_TOKEN", &self.token)
            .env_remove("AZURE_TENANT_ID")
            .stdin(Stdio::null());
        command
    }

    /// What the simulator tells of itself.
    pub(crate) fn ask(&self, path: &str) -> String {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the simulator listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }

    /// The same as JSON.
    pub(crate) fn account(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.ask(path)).expect("JSON")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

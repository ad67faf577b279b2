//! nginx with `limit_req` as the service. Its access log is the ledger.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Counted;
use super::far::DelayedServer;
use crate::harness::run_against;

/// `Retry-After` of every 429, in seconds.
const RETRY_AFTER_S: f64 = 1.0;
/// Time after a 429 in which a request may still arrive, because it may have been in flight. The ledger of
/// the simulator allows the same.
const MAX_IN_FLIGHT: Duration = Duration::from_millis(500);

/// nginx behind a delayed connection.
pub(crate) struct LimitReq {
    nginx: Child,
    log: PathBuf,
    latency: Duration,
    delayed: DelayedServer,
}

impl LimitReq {
    /// Starts nginx with a configuration in which `FOLDER` and `PORT` are replaced.
    pub(crate) fn start(folder: &Path, latency: Duration, configuration: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let log = folder.join("access.log");
        let configuration = configuration
            .replace("FOLDER", folder.to_str().expect("UTF-8"))
            .replace("PORT", &address.port().to_string());
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).expect("written");
        // Debian installs it in a folder that is only in the PATH of root.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let nginx = Command::new("nginx")
            .env("PATH", path)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed: tests/endurance/run does that");
        listens(address);
        Self { nginx, log, latency, delayed: DelayedServer::start(address, latency) }
    }

    pub(crate) fn run(&self, input: &Path, out: &Path) -> Command {
        run_against(&format!("http://{}", self.delayed.address()), "any", input, out)
    }

    pub(super) fn counted(&self) -> Counted {
        count(&self.log, self.latency)
    }
}

impl Drop for LimitReq {
    fn drop(&mut self) {
        // TERM, not KILL, so that the master process also ends its worker.
        crate::harness::signal(&self.nginx, "TERM");
        let _ = self.nginx.wait();
    }
}

fn listens(address: SocketAddr) {
    let until = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < until, "nginx does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Counts the lines `<seconds> <status> <path>` of a log. A response reaches the client `latency` after its
/// time.
pub(super) fn count(log: &Path, latency: Duration) -> Counted {
    let text = fs::read_to_string(log).expect("the access log");
    let mut lines: Vec<(f64, u16, &str)> = text
        .lines()
        .map(|line| {
            let mut cells = line.split(' ');
            let mut next = || cells.next().expect("three cells");
            (next().parse().expect("seconds"), next().parse().expect("a status"), next())
        })
        .collect();
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut throttled, mut breaches) = (0, 0);
    let mut pause: Option<(f64, f64)> = None;
    let mut served = BTreeMap::new();
    for (at, status, path) in &lines {
        breaches += u64::from(pause.is_some_and(|(from, to)| from < *at && *at < to));
        if *status == 429 {
            throttled += 1;
            let known = at + (latency + MAX_IN_FLIGHT).as_secs_f64();
            let from = pause.filter(|(_, to)| at < to).map_or(known, |(from, _)| from);
            pause = Some((from, at + RETRY_AFTER_S));
        } else {
            *served.entry(*path).or_insert(0) += 1;
        }
    }
    Counted {
        arrivals: lines.len() as u64,
        throttled,
        served: served.values().filter(|times| **times == 1).count() as u64,
        breaches,
    }
}

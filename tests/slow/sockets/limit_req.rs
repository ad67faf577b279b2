//! nginx with `limit_req` as the service, judged by its access log.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Counted;
use super::far::Far;
use crate::harness::run_against;

/// What it announces with every 429.
const RETRY_AFTER_S: f64 = 1.0;
/// What arrives in the first half of a wait may have been under way: the simulator's ledger gives as much.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// nginx, and the wire before it.
pub(crate) struct LimitReq {
    nginx: Child,
    log: PathBuf,
    latency: Duration,
    wire: Far,
}

impl LimitReq {
    /// With a configuration that names `FOLDER` and `PORT`.
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
        // Debian keeps it where only root looks.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let nginx = Command::new("nginx")
            .env("PATH", path)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed: tests/slow/run does that");
        listens(address);
        Self { nginx, log, latency, wire: Far::start(address, latency) }
    }

    pub(crate) fn run(&self, input: &Path, out: &Path) -> Command {
        run_against(&format!("http://{}", self.wire.address()), "any", input, out)
    }

    pub(super) fn counted(&self) -> Counted {
        count(&self.log, self.latency)
    }
}

impl Drop for LimitReq {
    fn drop(&mut self) {
        // Asked, so that the master takes its worker along.
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

/// Reads lines of `<seconds> <status> <path>`. An answer is with the client `latency` after its line's time.
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
    let (mut refused, mut breaches) = (0, 0);
    let mut barred: Option<(f64, f64)> = None;
    let mut served = BTreeMap::new();
    for (at, status, path) in &lines {
        breaches += u64::from(barred.is_some_and(|(from, to)| from < *at && *at < to));
        if *status == 429 {
            refused += 1;
            let told = at + (latency + UNDER_WAY).as_secs_f64();
            let from = barred.filter(|(_, to)| at < to).map_or(told, |(from, _)| from);
            barred = Some((from, at + RETRY_AFTER_S));
        } else {
            *served.entry(*path).or_insert(0) += 1;
        }
    }
    Counted {
        arrivals: lines.len() as u64,
        refused,
        served: served.values().filter(|times| **times == 1).count() as u64,
        breaches,
    }
}

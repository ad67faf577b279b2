//! The log: what happened to each user, each request, in the network client; to standard error or a file, never a secret.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use super::console::Console;
use crate::error::Error;
use crate::model::{LogFormat, stamp};
use crate::sys;

/// Libraries heard with `-vvv`. Not hyper and not h2: their frames and headers may hold a token.
const NETWORK: [&str; 3] = ["reqwest", "hyper_util", "rustls"];

/// Starts the log, if one is asked for: `verbose` counts the flags `-v`, and a `file` stands for at least one of them.
/// Without a file the lines go to the console.
///
/// # Errors
/// `Error::Usage` where the log file cannot be opened: nothing has been done yet.
pub fn start_log(console: &Console, verbose: u8, file: Option<&Path>) -> Result<(), Error> {
    let level = match verbose.max(u8::from(file.is_some())) {
        0 => return Ok(()),
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let writer = match file {
        Some(path) => {
            let file =
                sys::open_kept(path, OpenOptions::new().append(true).create(true)).map_err(|source| {
                    Error::Usage(format!(
                        "--log-file {}: cannot be opened: {source}; name a file in a folder where you may write, or leave it \
                         out; nothing was sent",
                        path.display()
                    ))
                })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
        None => {
            let console = console.clone();
            BoxMakeWriter::new(move || Line { console: console.clone(), bytes: Vec::new() })
        }
    };
    let mut heard = Targets::new().with_target(env!("CARGO_PKG_NAME"), level);
    if verbose > 2 {
        heard = heard.with_targets(NETWORK.map(|name| (name, LevelFilter::DEBUG)));
    }
    // No colours: lines are read by programs as often as by people.
    let layer = fmt::layer().with_ansi(false).with_timer(Utc).with_target(verbose > 2).with_writer(writer);
    let layer = match console.format() {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // A second one in the same process, as in tests, changes nothing.
    let _ = registry().with(layer.with_filter(heard)).try_init();
    Ok(())
}

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        to.write_str(&stamp(Timestamp::now()))
    }
}

/// One event, printed as a whole when it is dropped.
#[derive(Debug)]
struct Line {
    console: Console,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.console.line(String::from_utf8_lossy(&self.bytes).trim_end());
    }
}

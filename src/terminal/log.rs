//! The log: what happened to each user, each request, in the network client; to standard error or a file, never a secret.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Mutex;

use jiff::Timestamp;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use super::console::pass;
use crate::cli::{LogFormat, Telling};
use crate::error::Error;
use crate::model::stamp;
use crate::sys;

/// Libraries heard with `-vvv`. Not hyper and not h2: their frames and headers may hold a token.
const NETWORK: [&str; 3] = ["reqwest", "hyper_util", "rustls"];

/// Starts the log that the flags ask for, if any.
///
/// # Errors
/// `Error::Usage` where the log file cannot be opened: nothing has been done yet.
pub fn start(telling: &Telling) -> Result<(), Error> {
    let level = match telling.verbose.max(u8::from(telling.log_file.is_some())) {
        0 => return Ok(()),
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let writer = match &telling.log_file {
        Some(path) => {
            let file =
                sys::open_private(path, OpenOptions::new().append(true).create(true)).map_err(|source| {
                    Error::Usage(format!(
                        "--log-file {}: cannot be opened: {source}; name a file in a folder where you may write, or leave it \
                         out; nothing was sent",
                        path.display()
                    ))
                })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
        None => BoxMakeWriter::new(Line::default),
    };
    let mut heard = Targets::new().with_target(env!("CARGO_PKG_NAME"), level);
    if telling.verbose > 2 {
        heard = heard.with_targets(NETWORK.map(|name| (name, LevelFilter::DEBUG)));
    }
    // No colours: lines are read by programs as often as by people.
    let layer =
        fmt::layer().with_ansi(false).with_timer(Utc).with_target(telling.verbose > 2).with_writer(writer);
    let layer = match telling.log_format {
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

/// One event, told when it is whole.
#[derive(Debug, Default)]
struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        pass(String::from_utf8_lossy(&self.0).trim_end());
    }
}

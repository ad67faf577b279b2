//! Errors of the run, and its exit codes. A failed user is data and never appears here.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::task::JoinError;

/// How a process ends. The numbers are a promise to schedulers (`docs/reference.md#exit-codes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Every user accepted (and cleared, where verified), or nothing to do.
    Done,
    /// Our bug, or a file of ours could not be written.
    Internal,
    /// Wrong flags, settings or input; nothing was sent.
    Usage,
    /// Complete; some users failed or some rows were invalid.
    SomeFailed,
    /// Complete; accepted, but errors remain after verification.
    StillFailing,
    /// Stopped early, safe to go on: deadline, stall, outage.
    Stopped,
    /// Sign-in, permission or wrong tenant.
    SignIn,
    /// A safety limit or a declined prompt stopped the run.
    SafetyLimit,
    /// Another process holds this run.
    Locked,
    /// Stopped by SIGINT; safe to go on.
    Interrupted,
    /// Stopped by SIGTERM or SIGHUP; safe to go on.
    Terminated,
}

impl Exit {
    /// All of them, the worst first.
    pub const ALL: [Self; 11] = [
        Self::Internal,
        Self::Usage,
        Self::SignIn,
        Self::SafetyLimit,
        Self::Locked,
        Self::Interrupted,
        Self::Terminated,
        Self::Stopped,
        Self::SomeFailed,
        Self::StillFailing,
        Self::Done,
    ];

    /// The number given to the operating system.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::SomeFailed => 3,
            Self::StillFailing => 4,
            Self::Stopped => 5,
            Self::SignIn => 6,
            Self::SafetyLimit => 7,
            Self::Locked => 8,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// If several apply, the first of 1, 2, 6, 7, 8, 130/143, 5, 3, 4, 0.
    pub fn worse(self, other: Self) -> Self {
        if self.rank() <= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Internal => 0,
            Self::Usage => 1,
            Self::SignIn => 2,
            Self::SafetyLimit => 3,
            Self::Locked => 4,
            Self::Interrupted | Self::Terminated => 5,
            Self::Stopped => 6,
            Self::SomeFailed => 7,
            Self::StillFailing => 8,
            Self::Done => 9,
        }
    }
}

/// Why a run cannot start or cannot go on. The text says what happened, to what, and what to do next.
#[derive(Debug, Error)]
pub enum Error {
    /// Flags, environment or config file.
    #[error("{0}")]
    Usage(String),
    /// The input as a whole cannot be used.
    #[error("{}{}: {message}", named(file), place(*line, *column))]
    Input {
        /// The file as the user named it; `-` is standard input.
        file: PathBuf,
        /// Physical line, from 1, where there is one.
        line: Option<u64>,
        /// Column, from 1, where there is one.
        column: Option<u64>,
        /// What is wrong and what to do.
        message: String,
    },
    /// A file of ours could not be written, read or replaced.
    #[error("cannot {action} {}", path.display())]
    File {
        /// A verb: "write", "create", "replace", "sync", "read", [`CREATE_TEMPORARY`].
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file in a run's folder is not as we left it.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// Sign-in, permission or wrong tenant.
    #[error("{0}")]
    SignIn(String),
    /// The service did not give what was asked; safe to go on later.
    #[error("{0}")]
    Unavailable(String),
    /// A safety limit was exceeded, or the prompt was declined.
    #[error("{0}")]
    SafetyLimit(String),
    /// Another process holds the run.
    #[error("{}: another process is working on this run: {holder}", folder.display())]
    Locked {
        /// The run's folder.
        folder: PathBuf,
        /// Who holds it and since when, from `run.json`.
        holder: String,
    },
    /// The HTTP client cannot be built: TLS roots, proxy settings.
    #[error("cannot set up the network client: {0}")]
    Network(String),
    /// Something that cannot happen did.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

fn named(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn place(line: Option<u64>, column: Option<u64>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(", line {line}, column {column}"),
        (Some(line), None) => format!(", line {line}"),
        _ => String::new(),
    }
}

const ELSEWHERE: &str = "work in a folder where you may write, or name one with --out";

/// The verb for what is kept in the system's folder for temporary files, where no flag says otherwise.
pub const CREATE_TEMPORARY: &str = "create the temporary";

const ELSEWHERE_TEMPORARY: &str = if cfg!(windows) {
    "set TMP to a folder where you may write"
} else {
    "set TMPDIR to a folder where you may write"
};

/// What to do about a file of ours that the system refuses.
fn next_step(action: &str, kind: io::ErrorKind) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    match kind {
        Kind::StorageFull | Kind::QuotaExceeded => Some("make room there; the same command continues"),
        _ if action == CREATE_TEMPORARY => Some(ELSEWHERE_TEMPORARY),
        Kind::PermissionDenied if action == "read" => Some("it belongs to somebody else"),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Some(ELSEWHERE),
        Kind::NotADirectory | Kind::NotFound | Kind::AlreadyExists if action == "create" => Some(ELSEWHERE),
        _ => None,
    }
}

/// A sign-in error as it is printed: with the page that explains sign-in.
pub fn sign_in_text(text: &str) -> String {
    format!("{text} (reprovision help sign-in)")
}

impl From<JoinError> for Error {
    /// Of a task that panicked, whose text may hold anything: what can be said of it was said when it did.
    fn from(error: JoinError) -> Self {
        let what = if error.is_panic() { "a task ended unexpectedly" } else { "a task was cut short" };
        Self::Internal(what.to_owned())
    }
}

impl Error {
    /// A failed operation on one of our files.
    pub fn file(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::File { action, path: path.as_ref().to_owned(), source }
    }

    /// The exit code that this error ends the process with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Input { .. } | Self::Damaged { .. } | Self::Network(_) => Exit::Usage,
            Self::File { .. } | Self::Internal(_) => Exit::Internal,
            Self::SignIn(_) => Exit::SignIn,
            Self::Unavailable(_) => Exit::Stopped,
            Self::SafetyLimit(_) => Exit::SafetyLimit,
            Self::Locked { .. } => Exit::Locked,
        }
    }

    /// The message with its causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        if let Self::File { action, source, .. } = self
            && let Some(step) = next_step(action, source.kind())
        {
            text.push_str("; ");
            text.push_str(step);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_system_refuses_comes_with_the_next_step() {
        let said = |action, kind| Error::file(action, "out", io::Error::from(kind)).chain();
        assert_eq!(
            said("create", io::ErrorKind::PermissionDenied),
            "cannot create out: permission denied; work in a folder where you may write, or name one with --out"
        );
        assert!(
            said("write", io::ErrorKind::StorageFull)
                .ends_with("; make room there; the same command continues")
        );
        assert!(said("read", io::ErrorKind::PermissionDenied).ends_with("; it belongs to somebody else"));
        assert_eq!(said("read", io::ErrorKind::NotFound), "cannot read out: entity not found");
    }

    #[test]
    fn the_worse_code_wins_whatever_the_order() {
        let order: Vec<_> = Exit::ALL.into_iter().filter(|exit| *exit != Exit::Terminated).collect();
        for (at, first) in order.iter().enumerate() {
            for second in &order[at..] {
                assert_eq!(first.worse(*second), *first);
                assert_eq!(second.worse(*first), *first);
            }
        }
    }
}

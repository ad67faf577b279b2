//! Notices about the sign-in during a run. Each is shown once, immediately, and again in the summary.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Severity;

/// Maximum number of notices that are kept for the summary. A run with more has the same problem repeatedly.
const KEPT: usize = 20;

/// Receives a notice when it happens.
type Report = Box<dyn Fn(Severity, &str) + Send + Sync>;

/// Receives notices.
pub struct Notices {
    report: Report,
    kept: Mutex<Vec<String>>,
}

impl fmt::Debug for Notices {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Notices").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl Notices {
    /// Hands each notice to `report` when it happens.
    pub fn to(report: impl Fn(Severity, &str) + Send + Sync + 'static) -> Self {
        Self { report: Box::new(report), kept: Mutex::default() }
    }

    /// Notices that are only kept, and not shown.
    pub fn silent() -> Self {
        Self::to(|_, _| ())
    }

    /// Nothing is wrong any more, or nothing ever was.
    pub(super) fn note(&self, text: &str) {
        self.add(Severity::Info, text, text.to_owned());
    }

    /// Reports a problem that the user may want to fix.
    pub(super) fn warn(&self, text: &str) {
        self.add(Severity::Warning, text, format!("warning: {text}"));
    }

    fn add(&self, severity: Severity, text: &str, whole: String) {
        (self.report)(severity, text);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(whole);
        }
    }

    /// All so far, the oldest first; at most twenty.
    pub(super) fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Shows a person what to do in order to sign in.
#[derive(Clone)]
pub struct Show(Arc<dyn Fn(&str) + Send + Sync>);

impl Show {
    /// Hands each instruction to `show`.
    pub fn new(show: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }

    pub(super) fn text(&self, text: &str) {
        (self.0)(text);
    }
}

impl fmt::Debug for Show {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Show")
    }
}

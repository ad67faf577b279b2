//! What a person should hear of the sign-in while work goes on: each thing once, at once, and again in the account.

use std::sync::{Mutex, PoisonError};

/// As many are kept for the account; a run with more trouble than that has one trouble, again and again.
const KEPT: usize = 20;

/// Where notices go.
#[derive(Debug)]
pub struct Notices {
    say: fn(&str),
    kept: Mutex<Vec<String>>,
}

impl Notices {
    /// `say` is handed each line when it happens.
    pub fn to(say: fn(&str)) -> Self {
        Self { say, kept: Mutex::default() }
    }

    /// For whoever asks later, or never.
    pub fn silent() -> Self {
        Self::to(|_| ())
    }

    /// Nothing is wrong any more, or nothing ever was.
    pub(super) fn note(&self, text: &str) {
        self.add(text.to_owned());
    }

    /// Something a person may want to mend.
    pub(super) fn warn(&self, text: &str) {
        self.add(format!("warning: {text}"));
    }

    fn add(&self, text: String) {
        (self.say)(&text);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(text);
        }
    }

    /// All so far, the oldest first; at most twenty.
    pub(super) fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

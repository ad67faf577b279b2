//! A panic is a bug of ours: reported once, without what the program holds, and exit code 1.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, Location, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::console::Console;
use crate::error::Exit;
use crate::model::{LogFormat, Severity};

/// Whether any thread panicked.
static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Where a panic is reported.
#[derive(Clone, Debug, Default)]
pub struct PanicHook(Arc<Mutex<Option<Console>>>);

impl PanicHook {
    /// Reports to this console from now on; before that, to standard error as text.
    pub fn report_to(&self, console: &Console) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(console.clone());
    }

    fn report(&self, panic: &PanicHookInfo<'_>) {
        HAPPENED.store(true, Relaxed);
        let mut text = sentence(panic.payload(), panic.location());
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("\n{trace}"));
        }
        let console = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let console = console.unwrap_or_else(|| Console::new(false, LogFormat::Text));
        console.print_past_display(Severity::Error, &text);
    }
}

/// Runs the program to its exit code. If it panics, or a part of it did on the way, the code is 1.
pub fn guarded(work: impl FnOnce(&PanicHook) -> u8) -> u8 {
    let hook = PanicHook::default();
    let reporting = hook.clone();
    panic::set_hook(Box::new(move |panic| reporting.report(panic)));
    // What a panic left half-done is not used afterwards.
    let code = panic::catch_unwind(AssertUnwindSafe(|| work(&hook)));
    match code {
        Ok(code) if !HAPPENED.load(Relaxed) => code,
        _ => Exit::Internal.code(),
    }
}

/// A text that was put together may hold anything, a token too; one that stands in the source holds nothing.
fn sentence(payload: &(dyn Any + Send), at: Option<&Location<'_>>) -> String {
    let at = at.map_or_else(String::new, |at| format!(" at {}:{}:{}", at.file(), at.line(), at.column()));
    let what = payload.downcast_ref::<&'static str>().map_or_else(String::new, |text| format!(": {text}"));
    format!(
        "a bug in reprovision {}{at}{what}\n  please report this line; the same command continues with the rest",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_put_together_is_left_out_and_its_place_is_said() {
        let here = Location::caller();
        let put_together = format!("no header for Bearer {}", "canary");
        let said = sentence(&put_together, Some(here));
        assert!(!said.contains("canary") && said.contains("panic_hook.rs:"), "{said}");
        let said = sentence(&"a lock is poisoned", None);
        assert!(
            said.contains(": a lock is poisoned\n") && said.contains("the same command continues"),
            "{said}"
        );
    }
}

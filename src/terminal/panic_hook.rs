//! A panic is our bug: said once, without what the program holds, and exit code 1.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, Location, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::console::dressed;
use super::streams::ERR;
use crate::error::Exit;

/// Whether anything panicked, on whatever thread.
static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Runs the program to its exit code. If it panics, or a part of it did on the way, the code is 1.
pub fn guarded(work: impl FnOnce() -> u8) -> u8 {
    panic::set_hook(Box::new(say));
    // Nothing that it left half-done is looked at afterwards.
    let code = panic::catch_unwind(AssertUnwindSafe(work));
    match code {
        Ok(code) if !HAPPENED.load(Relaxed) => code,
        _ => Exit::Internal.code(),
    }
}

fn say(panic: &PanicHookInfo<'_>) {
    HAPPENED.store(true, Relaxed);
    let mut said = sentence(panic.payload(), panic.location());
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        said.push_str(&format!("\n{trace}"));
    }
    // Past the screen: whoever panicked may hold it.
    let _ = ERR.write(format!("{}\n", dressed(&said)).into_bytes());
}

/// A text that was put together may hold anything, a token too; one that stands in the source holds nothing.
fn sentence(payload: &(dyn Any + Send), at: Option<&Location<'_>>) -> String {
    let at = at.map_or_else(String::new, |at| format!(" at {}:{}:{}", at.file(), at.line(), at.column()));
    let what = payload.downcast_ref::<&'static str>().map_or_else(String::new, |text| format!(": {text}"));
    format!(
        "error: a bug in reprovision {}{at}{what}\n  please report this line; the same command continues with the rest",
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

//! The clock that nobody sets and that goes on while the machine sleeps and from process to process.

use std::time::Duration;

/// A moment of one boot of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinceBoot {
    /// Which boot of which machine.
    pub boot: String,
    /// How long after it.
    pub passed: Duration,
}

/// Now; `None` where the system does not tell its boots apart: everywhere but on Linux.
#[cfg(target_os = "linux")]
pub fn since_boot() -> Option<SinceBoot> {
    use rustix::time::{ClockId, clock_gettime};
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let passed = Duration::try_from(clock_gettime(ClockId::Boottime)).ok()?;
    (!boot.is_empty()).then_some(SinceBoot { boot, passed })
}

/// Now; `None` where the system does not tell its boots apart: everywhere but on Linux.
#[cfg(not(target_os = "linux"))]
pub fn since_boot() -> Option<SinceBoot> {
    None
}

//! The clock skew between this machine and the service, from the `Date` header.

use std::time::SystemTime;

use jiff::Timestamp;

/// Clock skew, in seconds, up to which Entra accepts assertions and tokens.
const TOLERATED: i64 = 300;
/// Less than this is the network's doing, in seconds.
const WORTH_SAYING: i64 = 60;

/// Seconds that this machine is ahead of the service; negative: behind.
pub(super) fn of(service: SystemTime, here: Timestamp) -> i64 {
    let there = Timestamp::try_from(service).map_or(i64::MAX, Timestamp::as_second);
    here.as_second().saturating_sub(there)
}

/// Whether two differences are one, but for what the network does.
pub(super) fn agree(one: i64, other: i64) -> bool {
    one.abs_diff(other) < WORTH_SAYING.unsigned_abs()
}

/// The message about the clock of this machine, compared with the `Date` of the service.
pub fn said_of_clock(service: SystemTime, here: Timestamp) -> Option<String> {
    said(of(service, here))
}

/// The sentence, where the difference is worth one.
pub(super) fn said(seconds: i64) -> Option<String> {
    let off = seconds.unsigned_abs();
    (off as i64 >= WORTH_SAYING).then(|| {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        let amount = if off >= 120 { format!("{} min", off / 60) } else { format!("{off} s") };
        let weight =
            if off as i64 > TOLERATED { ": sign-in fails beyond five minutes; set the clock" } else { "" };
        format!("this machine's clock is {amount} {side} the service's{weight}")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn small_differences_are_nothing_and_large_ones_are_said() {
        let here = Timestamp::from_second(10_000).expect("a time");
        let service = |ahead: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_u64.saturating_add_signed(-ahead))
        };
        assert_eq!(said(of(service(59), here)), None);
        assert_eq!(
            said(of(service(90), here)).as_deref(),
            Some("this machine's clock is 90 s ahead of the service's")
        );
        let far = said(of(service(-420), here)).expect("said");
        assert!(far.contains("7 min behind") && far.contains("set the clock"), "{far}");
    }
}

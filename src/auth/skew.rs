//! How far this machine's clock is from the service's, by the `Date` header.

use std::time::SystemTime;

/// Entra takes assertions and tokens that are off by up to so many seconds.
const TOLERATED: i64 = 300;
/// Less than this is the network's doing, in seconds.
const WORTH_SAYING: i64 = 60;

/// Seconds that this machine is ahead of the service; negative: behind.
pub(super) fn of(service: SystemTime, here: SystemTime) -> i64 {
    let whole = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match here.duration_since(service) {
        Ok(ahead) => whole(ahead),
        Err(behind) => -whole(behind.duration()),
    }
}

/// What to say of this machine's clock beside the service's `Date`.
pub fn said_of_clock(service: SystemTime, here: SystemTime) -> Option<String> {
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
        let here = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000);
        let service = |seconds: i64| match seconds {
            0.. => here - Duration::from_secs(seconds.unsigned_abs()),
            _ => here + Duration::from_secs(seconds.unsigned_abs()),
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

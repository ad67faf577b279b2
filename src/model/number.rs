//! Numbers as people read them, with their noun: the one place for thousands and plurals.

use std::borrow::Cow;

/// `2,981`
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `users`, or `user` for one of them: of a plural that ends in `s`.
pub fn noun(number: u64, plural: &str) -> Cow<'_, str> {
    match (number, plural.strip_suffix("ies"), plural.strip_suffix('s')) {
        (1, Some(stem), _) => format!("{stem}y").into(),
        (1, None, Some(one)) => one.into(),
        _ => plural.into(),
    }
}

/// `2,981 users`, `1 user`, `1 try`
pub fn count(number: u64, plural: &str) -> String {
    format!("{} {}", thousands(number), noun(number, plural))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_thousands_are_parted() {
        assert_eq!([0, 1, 2_981].map(|n| count(n, "users")), ["0 users", "1 user", "2,981 users"]);
        assert_eq!([1, 2].map(|n| count(n, "tries")), ["1 try", "2 tries"]);
        assert_eq!([999, 1_000, 4_294_967_295].map(thousands), ["999", "1,000", "4,294,967,295"]);
    }
}

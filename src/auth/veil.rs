//! Secrets taken out of what other programs and hosts say, before a person or a file gets to see it.

/// Shorter than this, a value is no secret, and its letters may stand anywhere.
const SHORTEST: usize = 8;
/// A token is longer than any word.
const TOKEN: usize = 30;

/// The text without `secrets`, without anything that looks like a JWT, and without what follows `Bearer`.
pub(super) fn veiled(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        text = text.replace(secret, "[secret]");
    }
    for begin in ["eyJ", "Bearer ", "bearer "] {
        text = without(&text, begin);
    }
    text
}

/// Takes out runs of token letters that begin so.
fn without(text: &str, begin: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(begin) {
        let run = &rest[at + begin.trim_end().len()..];
        let blank = run.len() - run.trim_start_matches(' ').len();
        let blank = if begin.ends_with(' ') { blank } else { 0 };
        let run = &run[blank..];
        let length = run.len() - run.trim_start_matches(is_token).len();
        out.push_str(&rest[..at]);
        if length + begin.trim_end().len() >= TOKEN {
            out.push_str("[token]");
        } else {
            out.push_str(&rest[at..at + begin.trim_end().len() + blank + length]);
        }
        rest = &run[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_known_secrets_are_taken_out_and_words_stay() {
        let jwt = "eyJhbGciOiJub25lIn0.eyJ0aWQiOiJjYW5hcnkifQ.c2lnbmF0dXJl";
        let opaque = "0.AXoAcanarycanarycanarycanary";
        assert_eq!(veiled(&format!("token: {jwt}, so"), &[]), "token: [token], so");
        assert_eq!(
            veiled(&format!("> Authorization: Bearer {opaque}\n<"), &[]),
            "> Authorization: [token]\n<"
        );
        assert_eq!(
            veiled("the secret s3cret-value is wrong", &["s3cret-value"]),
            "the secret [secret] is wrong"
        );
        for same in ["no Bearer here", "Bearer of bad news", "eyJ", "a tenant", "Bearer realm=\"\"", ""] {
            assert_eq!(veiled(same, &["ten", ""]), same);
        }
    }

    #[test]
    fn two_in_one_line_are_both_taken_out() {
        let jwt = format!("eyJ{}", "a".repeat(40));
        assert_eq!(veiled(&format!("{jwt} and {jwt}"), &[]), "[token] and [token]");
    }
}

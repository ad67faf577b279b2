//! Secrets taken out of what other programs and hosts say, before a person or a file gets to see it.

/// Fewest bytes of a value that is redacted. A shorter value is not a secret, and its letters may occur
/// anywhere.
const SHORTEST: usize = 8;
/// A token is longer than any word.
const TOKEN: usize = 30;
/// A piece of a secret of so many letters stands nowhere by chance. Texts are cut, and may break a secret
/// with escapes.
const PIECE: usize = 16;

/// The text without `secrets`, without anything that looks like a JWT, and without what follows `Bearer`.
pub(super) fn redact(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        text = without_secret(&text, secret);
    }
    for begin in ["eyJ", "Bearer ", "bearer "] {
        text = without(&text, begin);
    }
    text
}

/// The text without the secret, its form in a URL or a form post, and every longer piece of it.
pub(super) fn without_secret(text: &str, secret: &str) -> String {
    const SHOWN: &str = "[secret]";
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let text = text.replace(secret, SHOWN).replace(&encoded, SHOWN);
    if !secret.is_ascii() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        match piece(rest, secret) {
            0 => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
            length => {
                out.push_str(SHOWN);
                rest = &rest[length..];
            }
        }
    }
    out
}

/// How much of the beginning of a text is a piece of the secret; 0 where it may be chance. A text that was
/// cut ends within the secret's beginning, however short that is.
fn piece(text: &str, secret: &str) -> usize {
    let common = |part: &str| text.bytes().zip(part.bytes()).take_while(|(a, b)| a == b).count();
    let begun = common(secret);
    if begun >= SHORTEST.min(PIECE) && text[begun..].trim_end_matches('…').is_empty() {
        return begun;
    }
    let Some(start) = text.get(..PIECE).and_then(|start| secret.find(start)) else { return 0 };
    common(&secret[start..])
}

/// Removes sequences of token characters with this beginning.
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
        assert_eq!(redact(&format!("token: {jwt}, so"), &[]), "token: [token], so");
        assert_eq!(
            redact(&format!("> Authorization: Bearer {opaque}\n<"), &[]),
            "> Authorization: [token]\n<"
        );
        assert_eq!(
            redact("the secret s3cret-value is wrong", &["s3cret-value"]),
            "the secret [secret] is wrong"
        );
        for same in ["no Bearer here", "Bearer of bad news", "eyJ", "a tenant", "Bearer realm=\"\"", ""] {
            assert_eq!(redact(same, &["ten", ""]), same);
        }
    }

    #[test]
    fn pieces_of_a_secret_are_taken_out_too() {
        let secret = "0.AXo+canary/0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for (text, expected) in [
            (format!("got {secret}, no"), "got [secret], no"),
            (
                format!(
                    "form: a=b&client_secret={}&c=d",
                    secret.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
                ),
                "form: a=b&client_secret=[secret]&c=d",
            ),
            (format!("cut: {}…", &secret[..20]), "cut: [secret]…"),
            (format!("cut: {}", &secret[..9]), "cut: [secret]"),
            (format!("ends with {}.", &secret[25..]), "ends with [secret]."),
            ("a canary, 0.AXo and ABCDEFG stay".to_owned(), "a canary, 0.AXo and ABCDEFG stay"),
            ("ü\u{1f600}".to_owned(), "ü\u{1f600}"),
        ] {
            assert_eq!(redact(&text, &[secret]), expected);
        }
        assert_eq!(redact("das geheime W\u{f6}rtchen", &["geheime W\u{f6}rtchen"]), "das [secret]");
    }

    #[test]
    fn two_in_one_line_are_both_taken_out() {
        let jwt = format!("eyJ{}", "a".repeat(40));
        assert_eq!(redact(&format!("{jwt} and {jwt}"), &[]), "[token] and [token]");
    }
}

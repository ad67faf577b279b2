//! Reads a response body: whether it is an error of Graph, its code and its text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Members that hold an error: OData version 4, and version 3.
const ERRORS: [&str; 2] = ["error", "odata.error"];
/// Members of an error that may say more.
const INNER: [&str; 2] = ["innerError", "innererror"];

/// The content of a body. Texts are unchanged: not cut and not sanitized.
#[derive(Debug, Default)]
pub(super) struct BodyText {
    /// Whether it is an OData error: an object with a code. Only Graph's word is final.
    pub(super) odata: bool,
    /// Empty: none.
    pub(super) code: String,
    /// Without markup. Empty: none.
    pub(super) words: String,
}

impl BodyText {
    /// Reads a body. `page`: its content type is that of a web page.
    pub(super) fn read(body: &[u8], page: bool) -> Self {
        let foreign = |code: &str, words: String| Self { odata: false, code: code.to_owned(), words };
        let text = String::from_utf8_lossy(body);
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            let page = page || text.starts_with('<');
            return foreign("", if page { page_words(&text) } else { text.into_owned() });
        };
        let error = ERRORS.into_iter().find_map(|name| value.get(name).filter(|error| !error.is_null()));
        let read = error.and_then(Value::as_object).map(of_error).unwrap_or_default();
        if read.odata {
            return read;
        }
        // Sign-in services and gateways name the error in place of the object: a code, if there is another
        // text.
        let name = error.and_then(Value::as_str).unwrap_or_default();
        match all_texts(&value, name) {
            Some(words) if name.is_empty() || name.contains(char::is_whitespace) => foreign("", words),
            Some(words) => foreign(name, words),
            None if name.is_empty() => foreign("", text.into_owned()),
            None => foreign("", name.to_owned()),
        }
    }
}

/// Whether a JSON object is an error, from Graph or another server. Call it only for short bodies, not for
/// pages of objects.
pub(super) fn is_error(json: &[u8]) -> bool {
    let members = serde_json::from_slice::<BTreeMap<Cow<'_, str>, Option<IgnoredAny>>>(json);
    members.is_ok_and(|members| ERRORS.into_iter().any(|name| matches!(members.get(name), Some(Some(_)))))
}

/// Code and message of an error, each from the outermost level that has it: outer ones are often empty.
fn of_error(error: &Map<String, Value>) -> BodyText {
    let (mut code, mut words) = (String::new(), String::new());
    let mut level = Some(error);
    while let Some(error) = level {
        let text = |name| error.get(name).map(message_text).unwrap_or_default();
        if code.is_empty() {
            code = error
                .get("code")
                .and_then(Value::as_str)
                .map(|code| code.trim().to_owned())
                .unwrap_or_default();
        }
        if words.is_empty() {
            words = text("message");
        }
        let details = text("details");
        if !words.contains(&details) {
            words = if words.is_empty() { details } else { format!("{words} {details}") };
        }
        level = INNER.into_iter().find_map(|name| error.get(name)?.as_object());
    }
    BodyText { odata: !code.is_empty(), code, words }
}

/// The text of a `message` or of `details`: a text, an object with the text in it, or several of them.
fn message_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Object(object) => ["message", "value"]
            .into_iter()
            .find_map(|name| object.get(name))
            .map(message_text)
            .unwrap_or_default(),
        Value::Array(several) => {
            let texts: Vec<_> = several.iter().map(message_text).filter(|text| !text.is_empty()).collect();
            texts.join("; ")
        }
        _ => String::new(),
    }
}

/// All texts of a JSON value whose members are unknown, but the `name` of the error, unless that is a
/// sentence.
fn all_texts(value: &Value, name: &str) -> Option<String> {
    fn gather<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
        match value {
            Value::String(text) if !text.trim().is_empty() => texts.push(text.trim()),
            Value::Array(several) => several.iter().for_each(|value| gather(value, texts)),
            Value::Object(members) => members.values().for_each(|value| gather(value, texts)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    gather(value, &mut texts);
    texts.retain(|text| *text != name || name.contains(char::is_whitespace));
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// The text of a page, which begins with its title: without markup, scripts and styles.
fn page_words(page: &str) -> String {
    let mut text = String::new();
    for (at, piece) in page.split('<').enumerate() {
        let (tag, words) = if at == 0 { ("", piece) } else { piece.split_once('>').unwrap_or((piece, "")) };
        let tag = tag.to_ascii_lowercase();
        if !["script", "style"].iter().any(|unseen| tag.starts_with(unseen)) {
            text.push(' ');
            text.push_str(words);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (bool, String, String) {
        let BodyText { odata, code, words } = BodyText::read(body.as_bytes(), false);
        (odata, code, words)
    }

    #[test]
    fn odata_errors_of_all_versions_are_read_from_the_outermost_level_that_speaks() {
        for (body, code, words) in [
            (r#"{"error":{"code":"a","message":"b"}}"#, "a", "b"),
            (r#"{"odata.error":{"code":"a","message":{"lang":"en","value":"b"}}}"#, "a", "b"),
            (r#"{"odata.error":{"code":"a","message":"b"}}"#, "a", "b"),
            (r#"{"error":null,"odata.error":{"code":"a","message":"b"}}"#, "a", "b"),
            (r#"{"error":{"code":"a","message":{"lang":"en-US","value":"b"}}}"#, "a", "b"),
            (
                r#"{"error":{"code":"a","message":"","details":[{"code":"x","message":"c"},{"message":"d"}]}}"#,
                "a",
                "c; d",
            ),
            (r#"{"error":{"code":"a","message":"b","details":[{"message":"c","target":"t"}]}}"#, "a", "b c"),
            (r#"{"error":{"code":"a","message":"b: c","details":[{"message":"c"},7,null]}}"#, "a", "b: c"),
            (r#"{"error":{"code":"a","message":null,"details":{}}}"#, "a", ""),
            (
                r#"{"error":{"code":"UnknownError","message":"","innerError":{"date":"2026-02-20","request-id":"x"}}}"#,
                "UnknownError",
                "",
            ),
            (
                r#"{"error":{"code":"a","message":" ","innerError":{"code":"b","message":"Inner.","innerError":{"message":"Deeper."}}}}"#,
                "a",
                "Inner.",
            ),
            (r#"{"error":{"innererror":{"innererror":{"code":"c","message":"Deep."}}}}"#, "c", "Deep."),
            (r#"{"error":{"code":"d","message":"x","innerError":"text"}}"#, "d", "x"),
        ] {
            assert_eq!(read(body), (true, code.to_owned(), words.to_owned()), "{body}");
        }
    }

    #[test]
    fn anything_else_is_not_graphs_and_its_text_is_kept() {
        for (body, code, words) in [
            ("", "", ""),
            ("Access denied by policy WEB-17", "", "Access denied by policy WEB-17"),
            (r#"{"error":"forbidden"}"#, "", "forbidden"),
            (r#"{"error":"Access denied."}"#, "", "Access denied."),
            (r#"{"error":"invalid_token","error_description":"Expired."}"#, "invalid_token", "Expired."),
            (r#"{"statusCode":403,"message":"No."}"#, "", "No."),
            (r#"{"error":{"code":403,"message":"No."}}"#, "", "No."),
            (r#"{"error":{"code":"","message":"No."}}"#, "", "No."),
            (r#"{"title":"Forbidden","status":403,"detail":"Blocked."}"#, "", "Blocked.; Forbidden"),
            (r#"{"errors":[{"message":"No."},{"message":"Never."}]}"#, "", "No.; Never."),
            (r#""a text""#, "", "a text"),
            ("{}", "", "{}"),
            (r#"{"error":{}}"#, "", r#"{"error":{}}"#),
            (r#"{"error":{"code":"x","message":"cut o"#, "", r#"{"error":{"code":"x","message":"cut o"#),
            (
                "<html><head><title>\n Blocked\n by proxy </title></head><h1>No</h1>",
                "",
                "Blocked by proxy No",
            ),
            ("<TITLE class=x>Blocked</TITLE>", "", "Blocked"),
            ("<html><style>b{}</style><script>x<y</script><h1>No</h1> way<br>here</html>", "", "No way here"),
            ("<title></title><p>No", "", "No"),
            ("<title>cut o", "", "cut o"),
            ("<", "", ""),
        ] {
            assert_eq!(read(body), (false, code.to_owned(), words.to_owned()), "{body}");
        }
        assert_eq!(BodyText::read(b"Denied <b>here</b>", true).words, "Denied here");
    }

    #[test]
    fn an_error_is_known_by_its_member() {
        for (body, expected) in [
            (r#"{"error":{"code":"x"}}"#, true),
            (r#"{"odata.error":{}}"#, true),
            (r#"{"error":"x","error":null}"#, false),
            (r#"{"error":null,"id":"x"}"#, false),
            (r#"{"id":"x"}"#, false),
            (r#"{"error":"#, false),
        ] {
            assert_eq!(is_error(body.as_bytes()), expected, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_page_is_read_without_a_panic(page in "(<|>|/|title|script|[ -~]|\\PC){0,80}") {
            let _ = BodyText::read(page.as_bytes(), true);
        }
    }
}

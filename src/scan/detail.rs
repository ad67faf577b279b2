//! `errorDetail`: an XML text with one or many error records. Broken XML is kept as a text, never lost.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use crate::model::{MAX_MESSAGE, sanitize};

/// Longest detail that is read, in bytes: seen ones are below 4 KiB.
const LONGEST: usize = 64 * 1024;
/// Longest code kept, in characters.
const LONGEST_CODE: usize = 80;

/// What an `errorDetail` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// The first record's code; empty where there is none.
    pub code: String,
    /// The descriptions of all records, sanitized, at most 300 characters. The raw text if it is not such XML.
    pub text: String,
}

/// Reads a detail (`docs/graph.md#service-provisioning-errors`).
pub fn detail(xml: &str) -> Detail {
    let end = (0..=xml.len().min(LONGEST)).rev().find(|at| xml.is_char_boundary(*at)).unwrap_or(0);
    match records(&xml[..end]) {
        Some(records) if !records.is_empty() => {
            let texts: Vec<&str> =
                records.iter().map(|(_, text)| text.as_str()).filter(|text| !text.is_empty()).collect();
            Detail {
                code: sanitize(records[0].0.trim(), LONGEST_CODE),
                text: sanitize(&texts.join("; "), MAX_MESSAGE),
            }
        }
        _ => Detail { code: String::new(), text: sanitize(xml.trim(), MAX_MESSAGE) },
    }
}

/// Code and description of each record; `None` where the XML does not hold together.
fn records(xml: &str) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_str(xml);
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    loop {
        let text = match reader.read_event().ok()? {
            Event::Eof if open.is_empty() => return Some(found),
            Event::Eof => return None,
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_ascii_lowercase();
                if name == "errorrecord" {
                    found.push(Default::default());
                }
                open.push(name);
                continue;
            }
            Event::End(_) => {
                open.pop()?;
                continue;
            }
            Event::Text(text) => text.xml10_content().into_owned(),
            Event::CData(text) => text.xml10_content().into_owned(),
            Event::GeneralRef(entity) => match entity.resolve_char_ref().ok()? {
                Some(c) => c.to_string(),
                None => resolve_predefined_entity(&entity)?.to_owned(),
            },
            _ => continue,
        };
        let Some((code, description)) = found.last_mut() else { continue };
        match open.last().map(String::as_str) {
            Some("errorcode") => code.push_str(&text),
            Some("errordescription") => description.push_str(&text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(xml: &str) -> (String, String) {
        let Detail { code, text } = detail(xml);
        (code, text)
    }

    #[test]
    fn one_and_many_records_are_read_and_escapes_undone() {
        let record = |code: &str, text: &str| {
            format!(
                "<ErrorRecord><ErrorCode>{code}</ErrorCode><ErrorParameters><P>x</P></ErrorParameters><ErrorDescription>{text}</ErrorDescription></ErrorRecord>"
            )
        };
        let whole = |records: &str| {
            format!(
                "<ServiceInstance xmlns=\"urn:x\"><Name>exchange/A</Name><ObjectErrors>{records}</ObjectErrors></ServiceInstance>"
            )
        };
        let one = whole(&record("Conflict", "\"a\" &lt;b&gt; &amp; &#233;"));
        assert_eq!(of(&one), ("Conflict".to_owned(), "\"a\" <b> & é".to_owned()));
        let two = whole(&(record("First", "one") + &record("Second", "<![CDATA[two]]>")));
        assert_eq!(of(&two), ("First".to_owned(), "one; two".to_owned()));
    }

    #[test]
    fn what_is_no_such_xml_is_kept_as_a_text() {
        let cut = "<ServiceInstance><Name>exchange/A</Name><ObjectErrors><ErrorRec";
        assert_eq!(of(cut), (String::new(), cut.to_owned()));
        assert_eq!(of("plain words"), (String::new(), "plain words".to_owned()));
        assert_eq!(of("<a><b></a>"), (String::new(), "<a><b></a>".to_owned()));
        assert_eq!(of("&bomb;"), (String::new(), "&bomb;".to_owned()));
        assert_eq!(of(""), (String::new(), String::new()));
        assert_eq!(of("=1+1\u{1b}[31m").1, "'=1+1\\u{1b}[31m");
        assert_eq!(detail(&"<a>".repeat(100_000)).text.chars().count(), MAX_MESSAGE + 1);
    }
}

//! An id that may be sent: a GUID or a user principal name. Anything else never becomes a `UserId`.

use std::fmt;

use super::Text;

/// Longest accepted UPN in bytes. Entra allows 113; the rest is left for Graph to judge.
const MAX_UPN_BYTES: usize = 256;

/// A directory object id, checked so that it can only ever be one path segment.
///
/// GUIDs are stored in lower case without braces; UPNs as they were given, trimmed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(Text);

/// Why a cell is not an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadId {
    /// Nothing in the cell but blanks.
    Empty,
    /// A character that neither a GUID nor a UPN may hold.
    Character(char),
    /// Neither a GUID nor something with exactly one `@` between non-empty sides.
    Shape,
    /// Shortened for display: `…` or three dots stand where the rest was.
    Cut,
    /// Longer than 256 bytes.
    TooLong,
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the id cell is empty"),
            Self::Character(char::REPLACEMENT_CHARACTER) => {
                write!(f, "the id holds a character that could not be read (U+FFFD)")
            }
            Self::Character(c) => {
                let shown = if *c == ' ' {
                    "a blank, ".to_owned()
                } else if c.is_ascii_graphic() || c.is_alphanumeric() {
                    format!("{c}, ")
                } else {
                    String::new()
                };
                let code = u32::from(*c);
                write!(f, "the id holds {shown}U+{code:04X}, which no object id and no sign-in name may hold")
            }
            Self::Shape => write!(f, "neither an object id (GUID) nor a sign-in name (name@domain)"),
            Self::Cut => write!(f, "the id was shortened where dots stand. Export it in full"),
            Self::TooLong => write!(f, "longer than {MAX_UPN_BYTES} bytes"),
        }
    }
}

impl UserId {
    /// Reads a cell that has already been trimmed.
    ///
    /// # Errors
    /// Says which rule the cell breaks. Nothing is decoded: `%40` stays a refused `%`.
    pub fn parse(cell: &str) -> Result<Self, BadId> {
        if cell.is_empty() {
            return Err(BadId::Empty);
        }
        if let Some(guid) = as_guid(cell) {
            return Ok(Self(guid));
        }
        if cell.len() > MAX_UPN_BYTES {
            return Err(BadId::TooLong);
        }
        // Tables on a screen end a long text so, and pages of groups a name.
        let is_cut = |part: &str| part.ends_with("...") || part.ends_with('…');
        if cell.split('@').any(is_cut) {
            return Err(BadId::Cut);
        }
        if let Some(bad) = cell.chars().find(|c| !allowed_in_upn(*c)) {
            return Err(BadId::Character(bad));
        }
        match cell.split_once('@') {
            Some((name, domain)) if !name.is_empty() && !domain.is_empty() && !domain.contains('@') => {
                Ok(Self(cell.into()))
            }
            _ => Err(BadId::Shape),
        }
    }

    /// The id as it is sent, before percent-encoding.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an object id; otherwise it is a UPN.
    pub fn is_guid(&self) -> bool {
        self.0.len() == 36 && !self.0.contains('@')
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({})", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Printable ASCII without what a path, a decoder or another system would read as syntax, and without what separates and
/// encloses in lists, addresses and JSON: a cell that was split wrongly is not to be asked for.
fn allowed_in_upn(c: char) -> bool {
    let separates = matches!(c, ',' | ';' | ':' | '|' | '"' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}');
    c.is_ascii_graphic() && !separates && !matches!(c, '/' | '\\' | '?' | '%')
}

fn as_guid(cell: &str) -> Option<Text> {
    let bare = match cell.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => cell,
    };
    let bytes: &[u8; 36] = bare.as_bytes().try_into().ok()?;
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let digits = bytes.iter().fold(0, |count, byte| count + usize::from(byte.is_ascii_hexdigit()));
    let fits = digits == bytes.len() - HYPHENS.len() && HYPHENS.iter().all(|at| bytes[*at] == b'-');
    fits.then(|| {
        let mut guid = Text::from(bare);
        guid.make_ascii_lowercase();
        guid
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_lose_case_and_braces() {
        let id = UserId::parse("{0A1B2C3D-0000-1111-2222-ABCDEFABCDEF}").expect("a GUID");
        assert_eq!(id.as_str(), "0a1b2c3d-0000-1111-2222-abcdefabcdef");
        assert!(id.is_guid());
    }

    #[test]
    fn sign_in_names_of_every_legal_kind_pass() {
        for name in ["a@b", "ann_b.com#EXT#@contoso.com", "o'brien@c.com", "$x@y.com", "a+b@c.com", "=1@x"] {
            assert_eq!(UserId::parse(name).expect(name).as_str(), name);
        }
    }

    #[test]
    fn only_a_guid_in_its_form_is_one_and_a_name_has_a_longest_length() {
        for odd in [
            "0a1b2c3d00000-1111-2222-abcdefabcde-",
            "0a1b2c3-d0000-1111-2222-abcdefabcdef",
            "0a1b2c3d-0000-1111-222-2abcdefabcdef",
            "0a1b2c3g-0000-1111-2222-abcdefabcdef",
            "0a1b2c3d-0000-1111-2222-abcdefabcde-",
            "0a1b2c3d000011112222abcdefabcdef",
            "0a1b2c3d-0000-1111-2222-abcdefabcdef0",
        ] {
            assert_eq!(UserId::parse(odd), Err(BadId::Shape), "{odd}");
        }
        let name = |length: usize| format!("{}@b.c", "a".repeat(length - 4));
        for length in [5, 36, MAX_UPN_BYTES] {
            assert!(!UserId::parse(&name(length)).expect("a name").is_guid(), "{length}");
        }
        assert_eq!(UserId::parse(&name(MAX_UPN_BYTES + 1)), Err(BadId::TooLong));
    }

    #[test]
    fn a_character_is_shown_where_a_terminal_cannot_take_it_for_more() {
        let said = |c| BadId::Character(c).to_string();
        let rest = "which no object id and no sign-in name may hold";
        assert_eq!(said('/'), format!("the id holds /, U+002F, {rest}"));
        assert_eq!(said('é'), format!("the id holds é, U+00E9, {rest}"));
        assert_eq!(said(' '), format!("the id holds a blank, U+0020, {rest}"));
        for hidden in ['\u{1b}', '\u{7f}', '\u{9b}', '\u{200b}', '\u{202e}', '\u{feff}'] {
            assert_eq!(said(hidden), format!("the id holds U+{:04X}, {rest}", u32::from(hidden)));
        }
    }

    #[test]
    fn what_could_leave_its_path_segment_is_refused() {
        let cases = [
            ("", BadId::Empty),
            ("..", BadId::Shape),
            (".", BadId::Shape),
            ("me", BadId::Shape),
            ("$batch", BadId::Shape),
            ("a@b@c", BadId::Shape),
            ("@b", BadId::Shape),
            ("a@", BadId::Shape),
            ("a/../groups/x@y", BadId::Character('/')),
            ("a\\b@c", BadId::Character('\\')),
            ("a?b@c", BadId::Character('?')),
            ("a%40b@c", BadId::Character('%')),
            ("a b@c", BadId::Character(' ')),
            ("a\tb@c", BadId::Character('\t')),
            ("ann\u{200b}@c", BadId::Character('\u{200b}')),
            ("anné@c", BadId::Character('é')),
            ("{0a1b2c3d-0000-1111-2222-abcdefabcdef", BadId::Character('{')),
            ("a@b;Ann", BadId::Character(';')),
            ("a@b,Ann", BadId::Character(',')),
            ("<a@b>", BadId::Character('<')),
            ("mailto:a@b", BadId::Character(':')),
            ("\"a\"@b", BadId::Character('"')),
            ("ann@contoso.com...", BadId::Cut),
            ("ann@cont…", BadId::Cut),
            ("ann.b...@contoso.com", BadId::Cut),
            ("0a1b2c3d-0000-1111-…", BadId::Cut),
            ("０a1b2c3d-0000-1111-2222-abcdefabcdef", BadId::Character('０')),
        ];
        for (cell, why) in cases {
            assert_eq!(UserId::parse(cell), Err(why), "{cell:?}");
        }
        assert_eq!(UserId::parse(&format!("{}@b", "a".repeat(300))), Err(BadId::TooLong));
    }
}

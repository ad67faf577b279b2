//! Which encoding the bytes have, and a reader that yields UTF-8 whatever it is.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes that are read together.
const CHUNK: usize = 64 * 1024;
/// In a text in UTF-8, at most one byte in this many is NUL. In UTF-16 about one in two is.
const NUL_SHARE: usize = 10;

/// First bytes of other file formats, and the advice for each.
const OTHERS: [(&[u8], &str); 11] = [
    // The first begins as UTF-16 does.
    (b"\xff\xfe\0\0", UTF_32),
    (b"\0\0\xfe\xff", UTF_32),
    (b"\xef\xbb\xbf\xff\xfe", TWO_MARKS),
    (b"\xef\xbb\xbf\xfe\xff", TWO_MARKS),
    (b"\xff\xfe\xef\xbb\xbf", TWO_MARKS),
    (b"\xfe\xff\xef\xbb\xbf", TWO_MARKS),
    (b"PK\x03\x04", EXCEL),
    (b"\xd0\xcf\x11\xe0", EXCEL),
    (b"PK\x05\x06", "this is an empty zip file: give the CSV itself"),
    (b"\x1f\x8b", "this is a gzip file: unpack it first"),
    (b"%PDF", "this is a PDF: give the CSV that it was made from"),
];
const EXCEL: &str = "this is an Excel workbook: in Excel choose Save As → CSV UTF-8 and give that file";
const UTF_32: &str = "this is UTF-32: save it as UTF-8, in PowerShell with -Encoding UTF8";
const TWO_MARKS: &str = "this file has two byte order marks of different encodings: save it as UTF-8, in PowerShell with -Encoding UTF8";
const JSON: &str = "this is JSON, not CSV: give a CSV, or one id a line";

/// Detects the encoding by the first bytes and one scan for valid UTF-8.
pub(super) fn detect(path: &Path) -> io::Result<Result<&'static Encoding, &'static str>> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    let mut filled = read_full(&mut file, &mut buffer)?;
    let head = &buffer[..filled];
    if let Some((_, message)) = OTHERS.iter().find(|(begin, _)| head.starts_with(begin)) {
        return Ok(Err(message));
    }
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        if encoding == UTF_16LE || encoding == UTF_16BE {
            return Ok(Ok(encoding));
        }
        return Ok(no_text(head).map_or(Ok(UTF_8), Err));
    }
    if let Some(message) = no_text(head).or_else(|| marked_up(head)) {
        return Ok(Err(message));
    }
    let mut carried = 0;
    loop {
        match std::str::from_utf8(&buffer[..carried + filled]) {
            Ok(_) => carried = 0,
            Err(error) if error.error_len().is_some() => return Ok(Ok(WINDOWS_1252)),
            Err(error) => {
                let end = carried + filled;
                buffer.copy_within(error.valid_up_to()..end, 0);
                carried = end - error.valid_up_to();
            }
        }
        buffer.resize(CHUNK + carried, 0);
        filled = read_full(&mut file, &mut buffer[carried..])?;
        if filled == 0 {
            return Ok(Ok(if carried == 0 { UTF_8 } else { WINDOWS_1252 }));
        }
    }
}

/// A web page or JSON, which might pass for a list of one column: many a sign-in page was saved as
/// `users.csv`. A brace or bracket alone may be one around an object id or a column's name.
fn marked_up(head: &[u8]) -> Option<&'static str> {
    match head.trim_ascii_start() {
        // An address in brackets, as mail programs copy it, has no blank, and its `@` does not belong to a
        // tag.
        [b'<', rest @ ..] if !is_address(rest) => {
            Some("this is a web page or XML, not CSV: the download may have ended on a sign-in page")
        }
        [b'[', rest @ ..] if matches!(rest.trim_ascii_start(), [b'{' | b'[' | b'"' | b']', ..]) => Some(JSON),
        [b'{', rest @ ..] if matches!(rest.trim_ascii_start(), [b'"' | b'}', ..]) => Some(JSON),
        _ => None,
    }
}

/// Whether a word up to a closing bracket holds an `@`.
fn is_address(rest: &[u8]) -> bool {
    let inside = rest.split(|byte| *byte == b'>' || byte.is_ascii_whitespace()).next().unwrap_or_default();
    inside.contains(&b'@') && rest.get(inside.len()) == Some(&b'>')
}

/// Many NUL bytes are in no text that we read: UTF-16 without its mark, or something else altogether. A few
/// are damage, which costs the rows it is in.
fn no_text(head: &[u8]) -> Option<&'static str> {
    let mut nul = [0; 4];
    for (at, _) in head.iter().enumerate().filter(|(_, byte)| **byte == 0) {
        nul[at % 4] += 1;
    }
    let (even, odd) = (nul[0] + nul[2], nul[1] + nul[3]);
    // Of the four bytes of a character the highest is always NUL in UTF-32, and the next nearly always.
    let quarter = head.len() / 4;
    let is_utf_32 = |highest: usize, next: usize, lowest: usize| {
        nul[highest] >= quarter && nul[next] * 10 >= quarter * 9 && nul[lowest] * 10 < quarter
    };
    match (even, odd) {
        _ if (even + odd) * NUL_SHARE <= head.len() => None,
        _ if is_utf_32(3, 2, 0) || is_utf_32(0, 1, 3) => Some(UTF_32),
        _ if even * 10 < odd || odd * 10 < even => Some(
            "this looks like UTF-16 without a byte order mark: save it as UTF-8, in PowerShell with -Encoding UTF8",
        ),
        _ => Some("this is not a text file: it holds NUL bytes"),
    }
}

fn read_full(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// The file as UTF-8, without a byte order mark.
pub(super) struct Utf8Reader {
    inner: BufReader<File>,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    out: Vec<u8>,
    out_at: usize,
    ended: bool,
}

impl Utf8Reader {
    pub(super) fn open(path: &Path, encoding: &'static Encoding) -> io::Result<Self> {
        Ok(Self {
            inner: BufReader::new(File::open(path)?),
            decoder: encoding.new_decoder_with_bom_removal(),
            raw: Vec::new(),
            raw_at: 0,
            out: Vec::new(),
            out_at: 0,
            ended: false,
        })
    }
}

impl Read for Utf8Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.out_at == self.out.len() {
            if self.ended {
                return Ok(0);
            }
            if self.raw_at == self.raw.len() {
                self.raw.resize(CHUNK, 0);
                let filled = read_full(&mut self.inner, &mut self.raw)?;
                self.raw.truncate(filled);
                self.raw_at = 0;
            }
            let last = self.raw.len() < CHUNK;
            self.out.resize(CHUNK * 3 + 16, 0);
            let (result, read, written, _) =
                self.decoder.decode_to_utf8(&self.raw[self.raw_at..], &mut self.out, last);
            self.raw_at += read;
            self.out.truncate(written);
            self.out_at = 0;
            self.ended = last && result == CoderResult::InputEmpty;
        }
        let n = into.len().min(self.out.len() - self.out_at);
        into[..n].copy_from_slice(&self.out[self.out_at..self.out_at + n]);
        self.out_at += n;
        Ok(n)
    }
}

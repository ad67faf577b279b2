//! Which encoding the bytes have, and a reader that yields UTF-8 whatever it is.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;
/// One byte of so many may be NUL; UTF-16 of names and ids has about one of two.
const NUL_SHARE: usize = 10;

/// What the whole file is, decided by its first bytes and one scan for valid UTF-8.
pub(super) fn detect(path: &Path) -> io::Result<Result<&'static Encoding, &'static str>> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    let mut filled = read_full(&mut file, &mut buffer)?;
    let head = &buffer[..filled];
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Err("this is an Excel workbook: in Excel choose Save As → CSV UTF-8 and give that file"));
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Err("this is a gzip file: unpack it first"));
    }
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return Ok(Ok(if encoding == UTF_16LE || encoding == UTF_16BE { encoding } else { UTF_8 }));
    }
    if let Some(message) = no_text(head) {
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

/// Many NUL bytes are in no text that we read: UTF-16 without its mark, or something else altogether. A few are
/// damage, which costs the rows it is in.
fn no_text(head: &[u8]) -> Option<&'static str> {
    let nul = |odd: usize| head.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nul(0), nul(1));
    match (even, odd) {
        _ if (even + odd) * NUL_SHARE <= head.len() => None,
        _ if even * 10 < odd || odd * 10 < even => Some(
            "this looks like UTF-16 without a byte order mark: save it as UTF-8, in PowerShell with -Encoding UTF8",
        ),
        _ => Some("this is no text file: it holds NUL bytes"),
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

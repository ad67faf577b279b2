//! Lines that stay at the foot of a terminal while other lines are printed above them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// Columns left free at the right: a terminal echoes `^C` where the cursor is, and a full line would wrap.
pub(super) const MARGIN: usize = 3;

/// Nothing is drawn where standard error is not a terminal. Drawn with plain movements of the cursor, without colours; no mode
/// of the terminal is changed, so that none is left behind however the process ends.
#[derive(Debug)]
pub(super) struct StatusLine {
    term: Term,
    bar: ProgressBar,
    text: String,
}

impl StatusLine {
    /// Draws if asked to and if there is a terminal.
    pub(super) fn new(wanted: bool) -> Self {
        let term = Term::buffered_stderr();
        let target = if wanted && term.is_term() {
            ProgressDrawTarget::term_like(Box::new(Narrow {
                term: term.clone(),
                column: AtomicUsize::new(0),
            }))
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self { term, bar, text: String::new() }
    }

    /// Columns of the terminal now.
    pub(super) fn columns(&self) -> usize {
        usize::from(self.term.size().1)
    }

    /// These lines instead of those before. A terminal that cannot be written is nobody's failure.
    pub(super) fn show(&mut self, text: &str) {
        if self.text != text {
            text.clone_into(&mut self.text);
            self.bar.set_message(self.text.clone());
        }
    }

    /// Prints something above.
    pub(super) fn above(&mut self, print: impl FnOnce()) {
        if self.text.is_empty() {
            print();
        } else {
            self.bar.suspend(print);
        }
    }

    /// Takes the lines away for good.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.bar.finish_and_clear();
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A terminal with a margin. Lines are drawn full, so that each wraps into the next; here they wrap before the margin.
#[derive(Debug)]
struct Narrow {
    term: Term,
    /// Columns written on this line.
    column: AtomicUsize,
}

impl Narrow {
    fn at_the_left(&self) {
        self.column.store(0, Relaxed);
    }
}

impl TermLike for Narrow {
    fn width(&self) -> u16 {
        u16::try_from(usize::from(self.term.size().1).saturating_sub(MARGIN).max(1)).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.term.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.at_the_left();
        self.term.write_line("")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let width = usize::from(self.width());
        let mut wrapped = String::with_capacity(text.len() + 2);
        let mut column = self.column.load(Relaxed);
        for letter in text.chars() {
            if letter == '\r' {
                column = 0;
            } else {
                if column >= width {
                    wrapped.push_str("\r\n");
                    column = 0;
                }
                column += 1;
            }
            wrapped.push(letter);
        }
        self.column.store(column, Relaxed);
        self.term.write_str(&wrapped)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.at_the_left();
        self.term.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.term.flush()
    }
}

//! Lines that stay at the foot of a terminal while other lines are printed above them.

use std::io;

use console::Term;

/// Nothing at all where standard error is no terminal. Drawn with plain movements of the cursor, without colours; no mode
/// of the terminal is changed, so that none is left behind however the process ends.
#[derive(Debug)]
pub(super) struct Footer {
    term: Term,
    hidden: bool,
    text: String,
    /// Lines on the screen.
    drawn: usize,
}

impl Footer {
    /// Draws if asked to and if there is a terminal.
    pub(super) fn new(wanted: bool) -> Self {
        let term = Term::buffered_stderr();
        Self { hidden: !wanted || !term.is_term(), term, text: String::new(), drawn: 0 }
    }

    /// Columns of the terminal now.
    pub(super) fn columns(&self) -> usize {
        usize::from(self.term.size().1)
    }

    /// These lines instead of those before. A terminal that cannot be written is nobody's failure.
    pub(super) fn show(&mut self, text: &str) {
        if self.hidden || (self.drawn > 0 && self.text == text) {
            return;
        }
        text.clone_into(&mut self.text);
        let _ = self.redraw();
    }

    /// Prints something above.
    pub(super) fn above(&mut self, print: impl FnOnce()) {
        let _ = self.erase().and_then(|()| self.term.flush());
        print();
        let _ = self.redraw();
    }

    /// Takes the lines away.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        let _ = self.erase().and_then(|()| self.term.flush());
    }

    fn redraw(&mut self) -> io::Result<()> {
        self.erase()?;
        if !self.hidden && !self.text.is_empty() {
            // The cursor stays at the end of the last line: what a terminal echoes (^C) goes away with it.
            self.term.write_str(&self.text)?;
            let columns = self.columns().max(1);
            self.drawn = self.text.lines().map(|line| line.chars().count().div_ceil(columns).max(1)).sum();
        }
        self.term.flush()
    }

    fn erase(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            self.term.write_str("\r")?;
            self.term.move_cursor_up(self.drawn - 1)?;
            self.term.clear_to_end_of_screen()?;
            self.drawn = 0;
        }
        Ok(())
    }
}

impl Drop for Footer {
    fn drop(&mut self) {
        self.clear();
    }
}

//! A question to the person at the terminal, whose answer is a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::mem;

use tokio::task::spawn_blocking;

use super::console::Console;

/// A person who can be asked.
pub struct Question {
    console: Console,
    read: Box<dyn io::Read + Send>,
    write: Box<dyn Write + Send>,
}

impl Console {
    /// A question to the person at the terminal; `None` where nobody can answer. Where `input_is_data`, standard input
    /// holds data and is never read for the answer.
    pub fn question(&self, input_is_data: bool) -> Option<Question> {
        if !self.is_on_terminal() {
            return None;
        }
        let console = self.clone();
        let (input, output) = if cfg!(windows) { ("CONIN$", "CONOUT$") } else { ("/dev/tty", "/dev/tty") };
        let own = File::options().read(true).open(input).ok();
        match own.zip(File::options().write(true).open(output).ok()) {
            Some((read, write)) => Some(Question { console, read: Box::new(read), write: Box::new(write) }),
            None if !input_is_data && io::stdin().is_terminal() => {
                Some(Question { console, read: Box::new(io::stdin()), write: Box::new(io::stderr()) })
            }
            None => None,
        }
    }
}

impl Question {
    /// Asks, and waits for a line; what cannot be read is an empty answer. Dropped before the answer came, it ends the line
    /// of the question, so that the next message begins on a line of its own.
    pub async fn ask(self, question: String) -> String {
        let Self { console, read, mut write } = self;
        let open_line = OpenLine(console);
        let asking = spawn_blocking(move || {
            let _ = write.write_all(question.as_bytes()).and_then(|()| write.flush());
            let mut answer = String::new();
            let _ = BufReader::new(read).read_line(&mut answer);
            answer
        });
        let answer = asking.await.unwrap_or_default();
        if answer.ends_with('\n') {
            mem::forget(open_line);
        }
        answer
    }
}

/// The line of a question that has no answer yet.
struct OpenLine(Console);

impl Drop for OpenLine {
    fn drop(&mut self) {
        self.0.status("");
    }
}

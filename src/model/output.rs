//! What messages are: how severe, and in which form they are printed.

/// How severe a message is. It decides the word before the text, and the level in a JSON log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Work continues, but a person may want to act.
    Warning,
    /// The command cannot do what was asked.
    Error,
}

/// `--log-format`: the form of each line on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

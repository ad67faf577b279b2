//! What is drawn on a terminal while a run works, laid out for its width: text alone.

use std::iter;
use std::time::Duration;

use super::status_line::MARGIN;
use crate::model::Progress;
use crate::report::{human, thousands};

/// A shorter bar shows nothing, a longer one not more.
const CELLS: std::ops::RangeInclusive<usize> = 8..=60;
/// Between what belongs to different questions.
const GAP: &str = "  ";

/// The progress of a run with its rate.
pub(super) struct View {
    pub(super) progress: Progress,
    /// Users answered per second.
    pub(super) rate: f64,
    /// Time left at this rate; `None` where the rate is not known, and while nothing is sent.
    pub(super) left: Option<Duration>,
}

/// The lines for a terminal with so many columns. None is longer, and no word is broken that fits one.
pub(super) fn bar(view: &View, total: u64, simulated: bool, columns: usize) -> String {
    let progress = &view.progress;
    let width = columns.saturating_sub(MARGIN).max(1);
    let share = (progress.answered as f64 / total.max(1) as f64).min(1.0);
    let mut first = vec![
        format!("{} / {}", thousands(progress.answered), thousands(total)),
        format!("{:.0} %", (share * 100.0).floor()),
    ];
    if simulated {
        first.insert(0, "SIMULATED".to_owned());
    }
    let place = first.len();
    if let Some(left) = view.left {
        first.push(format!("{:.1}/s", view.rate));
        first.push(format!("{} left", human(left)));
    }
    let taken: usize = first.iter().map(|part| part.chars().count() + GAP.len()).sum();
    let cells = width.saturating_sub(taken + GAP.len()).min(*CELLS.end());
    if cells >= *CELLS.start() {
        let full = (share * cells as f64) as usize;
        first.insert(place, "█".repeat(full) + &"░".repeat(cells - full));
    }
    let second = [
        format!("accepted {}", thousands(progress.accepted)),
        format!("failed {}", thousands(progress.failed)),
        format!("in flight {}", progress.in_flight),
        progress.waiting.clone().unwrap_or_else(|| "Ctrl-C stops safely".to_owned()),
    ];
    let mut lines = flowed(&first, width);
    lines.extend(flowed(&second, width));
    lines.join("\n")
}

/// Parts side by side while they fit, each line begun with a gap.
fn flowed(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let fits = |line: &String| line.chars().count() + GAP.len() + part.chars().count() <= width;
        match lines.last_mut().filter(|line| fits(line)) {
            Some(line) => *line = format!("{line}{GAP}{part}"),
            None => lines.extend(wrapped(part, width.saturating_sub(GAP.len()).max(1))),
        }
    }
    lines
}

/// One part on as many lines as it needs, broken between words, within a word only where that is longer than a line.
fn wrapped(part: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let words = part.split(' ').flat_map(|word| {
        let mut rest = word.chars();
        iter::from_fn(move || {
            Some(rest.by_ref().take(width).collect::<String>()).filter(|cut| !cut.is_empty())
        })
    });
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                *line = format!("{line} {word}");
            }
            _ => lines.push(word),
        }
    }
    lines.into_iter().map(|line| format!("{GAP}{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(waiting: Option<&str>) -> View {
        let progress = Progress {
            answered: 12_401,
            accepted: 12_380,
            failed: 21,
            throttled: 4,
            in_flight: 32,
            waiting: waiting.map(str::to_owned),
        };
        View { progress, rate: 19.97, left: Some(Duration::from_secs(1_380)) }
    }

    fn at_the_start(answered: u64) -> View {
        let progress = Progress { answered, ..view(None).progress };
        View { progress, rate: 0.0, left: None }
    }

    #[test]
    fn one_line_for_the_bar_and_one_for_the_counts_where_there_is_room() {
        assert_eq!(
            bar(&view(None), 40_000, false, 80),
            "  12,401 / 40,000  31 %  █████████░░░░░░░░░░░░░░░░░░░░░░  20.0/s  23 min left\n  \
             accepted 12,380  failed 21  in flight 32  Ctrl-C stops safely"
        );
    }

    #[test]
    fn a_narrow_terminal_breaks_between_parts_and_a_long_part_between_words() {
        let paused = "paused by Microsoft 365 (your app's limit in this tenant): 41 s left";
        assert_eq!(
            bar(&view(Some(paused)), 40_000, true, 40).lines().collect::<Vec<_>>(),
            [
                "  SIMULATED  12,401 / 40,000  31 %",
                "  20.0/s  23 min left",
                "  accepted 12,380  failed 21",
                "  in flight 32",
                "  paused by Microsoft 365 (your app's",
                "  limit in this tenant): 41 s left",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_whatever_its_width() {
        for columns in 1..200 {
            let said = bar(
                &view(Some("Microsoft 365 does not answer (for 2 min); trying again in 30 s")),
                40_000,
                true,
                columns,
            );
            let most = columns.saturating_sub(MARGIN).max(3);
            assert!(said.lines().all(|line| line.chars().count() <= most), "{columns}: {said}");
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            assert!(letters(&said).ends_with("tryingagainin30s"), "{columns}: {said}");
        }
    }

    #[test]
    fn a_list_that_is_done_is_full_and_an_empty_one_is_nothing() {
        assert!(bar(&at_the_start(10), 10, false, 80).contains("10 / 10  100 %  ████████"));
        assert!(bar(&at_the_start(0), 0, false, 80).contains("0 / 0  0 %  ░░"));
    }
}

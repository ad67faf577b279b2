//! The drawings of `report.html`: inline SVG without text, so that letters keep their size on any width.

use maud::{Markup, html};

use super::timeline::Timeline;

/// Height of the plane of the timeline; the strip of throttling lies below it.
const HEIGHT: f64 = 100.0;
/// Height of the strip.
const STRIP: f64 = 8.0;
/// Fewest bins of an axis: a short run does not fill the page with one bar.
const FEWEST_BINS: usize = 24;
/// Units across a bar.
const ACROSS: f64 = 1_000.0;

/// Accepted per second over time; below it a strip where requests were throttled.
pub(super) fn timeline(line: &Timeline) -> Markup {
    let bins = line.bins.len().max(FEWEST_BINS) as f64;
    let most = line.bins.iter().map(|bin| bin.accepted).max().unwrap_or(0).max(1) as f64;
    let whole = HEIGHT + STRIP + 2.0;
    html! {
        svg.chart viewBox=(format!("0 0 {bins} {whole}")) preserveAspectRatio="none" role="img"
            aria-label="Accepted users per second over time, and where requests were throttled" {
            rect.none x="0" y=(HEIGHT) width=(bins) height="0.5" {}
            @for (at, bin) in line.bins.iter().enumerate() {
                @let height = bin.accepted as f64 / most * (HEIGHT - 4.0);
                @if bin.accepted > 0 {
                    rect.accepted x=(at) y=(short(HEIGHT - height)) width="1" height=(short(height)) {}
                }
                @if bin.throttled > 0 {
                    rect.throttled x=(at) y=(HEIGHT + 1.5) width="1" height=(STRIP) {}
                }
            }
            @for silence in &line.silences {
                @let x = short(silence.at as f64 / line.width as f64);
                line.silence x1=(x) x2=(x) y1="0" y2=(whole) {}
            }
        }
    }
}

/// Parts of a whole side by side.
pub(super) fn share(parts: &[(&'static str, u64)]) -> Markup {
    let whole = parts.iter().map(|(_, count)| count).sum::<u64>().max(1) as f64;
    let mut from = 0.0;
    let drawn: Vec<_> = parts
        .iter()
        .map(|(class, count)| {
            let width = *count as f64 / whole * ACROSS;
            from += width;
            (class, from - width, width)
        })
        .collect();
    html! {
        svg.share viewBox=(format!("0 0 {ACROSS} 10")) preserveAspectRatio="none" role="img" aria-label="Share of each outcome" {
            rect.none x="0" y="0" width=(ACROSS) height="10" {}
            @for (class, x, width) in drawn {
                rect class=(class) x=(short(x)) y="0" width=(short(width)) height="10" {}
            }
        }
    }
}

/// One bar of a table.
pub(super) fn bar(class: &'static str, count: u64, most: u64) -> Markup {
    let width = short(count as f64 / most.max(1) as f64 * ACROSS);
    html! {
        svg.bar viewBox=(format!("0 0 {ACROSS} 10")) preserveAspectRatio="none" aria-hidden="true" {
            rect class=(class) x="0" y="0" width=(width) height="10" {}
        }
    }
}

fn short(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

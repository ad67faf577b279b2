//! `report.html`: one page for people that asks nobody for anything: no script, no font, no picture from elsewhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::{Figures, Hand, MOST_HANDS};
use super::html_chart::{bar, share, timeline};
use super::merge::Group;
use super::part::Part;
use super::summary::{Summary, shard_sentence};
use super::timeline::Timeline;
use super::words::{COUNTED, human_millis, human_s};
use crate::model::{Outcome, action, count, noun, thousands};

/// The only style; the page's policy names its hash and allows nothing else.
const STYLE: &str = include_str!("style.css");

/// What names of users become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redact {
    /// Shown.
    #[default]
    Nothing,
    /// Sign-in names and everything that may hold one give way to the row; object ids stay.
    Upn,
}

/// A page of one run, or of several that are merged.
#[derive(Debug)]
pub struct ReportPage<'a> {
    /// The runs.
    pub parts: &'a [Part],
    /// Their figures together.
    pub figures: &'a Figures,
    /// Inputs and how far the runs cover them; empty for a single run.
    pub groups: &'a [Group],
    /// What names become.
    pub redact: Redact,
}

const OUTCOMES: [Outcome; 4] = [Outcome::Accepted, Outcome::Failed, Outcome::Invalid, Outcome::Duplicate];

impl ReportPage<'_> {
    /// The whole page.
    pub fn render(&self) -> String {
        let title = self.title();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    meta name="robots" content="noindex";
                    meta name="generator" content=(concat!("reprovision ", env!("CARGO_PKG_VERSION")));
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        @if self.parts.iter().any(|part| part.summary.run.simulated) {
                            p { span.badge { "SIMULATED" } " No tenant was touched." }
                        }
                        h1 { (title) }
                        (self.standing())
                    }
                    main {
                        (self.outcomes())
                        @if !self.groups.is_empty() { (self.runs()) }
                        @for (at, line) in self.figures.timelines.iter().enumerate() {
                            @if line.span.is_some() { (when(line, (self.parts.len() > 1).then(|| self.parts[at].name.as_str()))) }
                        }
                        (self.effort())
                        (self.causes())
                        @for part in self.parts { (asked(part)) }
                        (self.needs_hands())
                    }
                }
            }
        }
        .into_string()
    }

    fn title(&self) -> String {
        match self.parts {
            [one] => {
                format!("{} of {}, {}", action::REPORT_TITLE, one.summary.run.input, tenant(&one.summary))
            }
            many => format!("{}: {} runs together", action::REPORT_TITLE, many.len()),
        }
    }

    fn of(&self, outcome: Outcome) -> u64 {
        self.parts.iter().map(|part| part.summary.of(outcome)).sum()
    }

    fn rows(&self) -> (u64, u64) {
        if self.groups.is_empty() {
            self.parts.iter().fold((0, 0), |(rows_in, rows_out), part| {
                (rows_in + part.summary.rows_in, rows_out + part.summary.rows_out)
            })
        } else {
            self.groups
                .iter()
                .fold((0, 0), |(rows_in, rows_out), group| (rows_in + group.rows, rows_out + group.covered))
        }
    }

    fn standing(&self) -> Markup {
        let (rows_in, rows_out) = self.rows();
        let equal = rows_in == rows_out;
        html! {
            p {
                strong { @if equal { "Complete" } @else { "Not complete" } }
                ": " span data-figure="rows_in" { (thousands(rows_in)) } " " (noun(rows_in, "rows")) " in "
                (if equal { "=" } else { "≠" }) " "
                span data-figure="rows_out" { (thousands(rows_out)) } " " (noun(rows_out, "rows")) " out"
                @if let [part] = self.parts { @if let Some(shard) = shard_sentence(&part.summary.run) { "; " (shard) } }
            }
            @for sentence in self.parts.iter().flat_map(|part| &part.summary.stopped) {
                p.note { "Stopped: " (self.sentence(sentence)) }
            }
            @if let ([part], Redact::Nothing, false) = (self.parts, self.redact, equal) {
                @if let Some(next) = &part.summary.run.next { p.note { "Continue: " code { (next.resume) } } }
            }
            @for sentence in self.parts.iter().flat_map(|part| &part.summary.notes) {
                p.note { (self.sentence(sentence)) }
            }
            @for group in self.groups.iter().filter(|group| group.covered < group.rows) {
                p.note { (group.sentence()) }
            }
        }
    }

    fn outcomes(&self) -> Markup {
        let parts = OUTCOMES.map(|outcome| (outcome.as_str(), self.of(outcome)));
        html! {
            section {
                h2 { "Outcome" }
                ul.tiles {
                    @for (name, count) in parts {
                        li class=(name) { b data-figure=(name) { (thousands(count)) } (name) }
                    }
                }
                (share(&parts))
                @if self.of(Outcome::Accepted) > 0 { p.note { (action::ACCEPTED_MEANS) "; " code { "reprovision verify" } " looks" } }
                (self.verdicts())
            }
        }
    }

    fn verdicts(&self) -> Markup {
        let looked: Vec<_> = self.parts.iter().filter_map(|part| part.verified.as_ref()).collect();
        let Some(last) = looked.iter().map(|verified| verified.checked_at.as_str()).max() else {
            return html! { p.dim { "Nobody has looked yet whether the errors are gone." } };
        };
        let mut verdicts = std::collections::BTreeMap::<&str, u64>::new();
        for (verdict, count) in looked.iter().flat_map(|verified| &verified.verdicts) {
            *verdicts.entry(verdict).or_default() += count;
        }
        html! {
            h3 { "Looked again, last at " (last) }
            ul.tiles {
                @for (verdict, count) in verdicts {
                    li { b data-verdict=(verdict) { (thousands(count)) } (verdict.replace('_', " ")) }
                }
            }
        }
    }

    fn runs(&self) -> Markup {
        html! {
            section {
                h2 { "Runs" }
                @for group in self.groups { p { (group.sentence()) } }
                table.stack {
                    thead { tr {
                        th { "Run" } th { "Tenant" } th.number { "Rows" } th.number { "Accepted" } th.number { "Failed" }
                        th.number { "Invalid" } th.number { "Duplicate" }
                    } }
                    tbody { @for part in self.parts { tr {
                        td data-label="Run" { (part.name) small { (part.summary.run.input) } }
                        td data-label="Tenant" { (tenant(&part.summary)) }
                        td.number data-label="Rows" { (thousands(part.summary.rows_out)) }
                        @for outcome in OUTCOMES {
                            td.number data-label=(outcome.as_str()) { (thousands(part.summary.of(outcome))) }
                        }
                    } } }
                }
            }
        }
    }

    fn effort(&self) -> Markup {
        let durations = self.figures.durations();
        let requests: u64 = self.parts.iter().map(|part| part.summary.requests).sum();
        let throttled: u64 = self.parts.iter().map(|part| part.summary.throttled).sum();
        let most = self.figures.attempts.into_iter().max().unwrap_or(0);
        let last = self.figures.attempts.len();
        html! {
            section {
                h2 { "Effort" }
                p {
                    span data-figure="requests" { (thousands(requests)) } " " (noun(requests, "requests"))
                    @match self.parts {
                        // Two counts of throttled requests side by side would look like a mistake.
                        [part] if part.summary.limits_met_others() => {
                            " " (COUNTED)
                            @if let Some(limits) = part.summary.limits_of_call() { "; " (limits) }
                        }
                        parts => {
                            @if parts.iter().any(|part| part.summary.limits_met_others()) { " " (COUNTED) }
                            ", " span data-figure="throttled" { (thousands(throttled)) } " of them throttled"
                            @if let [part] = parts { ", longest wait asked for " (human_s(part.summary.longest_wait_s)) }
                        }
                    }
                }
                @if durations.users > 0 {
                    h3 { "Time per user" }
                    dl.inline {
                        @for (name, words, millis) in [
                            ("p50", "half of them within", durations.p50),
                            ("p95", "95 % within", durations.p95),
                            ("p99", "99 % within", durations.p99),
                            ("longest", "longest", durations.longest),
                        ] {
                            div { dt { (words) } dd data-figure=(name) data-ms=(millis) { (human_millis(millis)) } }
                        }
                    }
                    p.dim { "From the first request to the end, waits and repeats included; quantiles are at most 3 % too large." }
                    h3 { "Requests per user" }
                    table {
                        thead { tr { th.number { "Requests" } th.number { "Users" } th {} } }
                        tbody {
                            @for (at, users) in self.figures.attempts.into_iter().enumerate().filter(|(_, users)| *users > 0) {
                                tr {
                                    td.number { (at + 1) @if at + 1 == last { " or more" } }
                                    td.number { (thousands(users)) }
                                    td.wide { (bar("accepted", users, most)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn causes(&self) -> Markup {
        let causes = self.figures.causes();
        html! {
            @if !causes.is_empty() {
                section {
                    h2 { "Why not accepted" }
                    table.stack {
                        thead { tr { th.number { "Users" } th { "Cause" } th { "Who" } th { "Next step" } } }
                        tbody { @for cause in causes { tr {
                            td.number data-label="Users" { (thousands(cause.count)) }
                            td data-label="Cause" { span { (cause.title) small { code { (cause.reason) } " " (cause.error_code) } } }
                            td data-label="Who" { (cause.who) }
                            td data-label="Next step" { (cause.next_step) }
                        } } }
                    }
                }
            }
        }
    }

    fn needs_hands(&self) -> Markup {
        let mut hands: Vec<(usize, &Hand)> = self.figures.hands().map(|hand| (hand.part, hand)).collect();
        let failed = self.figures.failed;
        let mut still_failing = 0;
        for (at, verified) in
            self.parts.iter().enumerate().filter_map(|(at, part)| Some((at, part.verified.as_ref()?)))
        {
            hands.extend(verified.hands.values().map(|hand| (at, hand)));
            still_failing += verified.still_there();
        }
        let all = failed + still_failing;
        let lists = [("failed.csv", failed), ("still-failing.csv", still_failing)];
        let lists: Vec<_> = lists.into_iter().filter(|(_, rows)| *rows > 0).map(|(name, _)| name).collect();
        hands.sort_by_key(|(part, hand)| (*part, hand.row));
        hands.truncate(MOST_HANDS);
        let shown = hands.len() as u64;
        html! {
            section {
                h2 { "Needs hands" }
                @if hands.is_empty() {
                    p { "No known cases." }
                } @else {
                    p {
                        span data-figure="needs_hands" { (thousands(all)) } " " (noun(all, "rows"))
                        @if all > shown { "; the first " (thousands(shown)) " are named here" }
                        ". Once the causes are gone, give " code { "reprovision run" } " the list "
                        @for (at, name) in lists.iter().enumerate() { @if at > 0 { " and then " } code { (name) } }
                    }
                    table.stack {
                        thead { tr { th.number { "Row" } th { "Name" } th { "Service" } th { "Cause" } th { "Who" } th { "Next step" } } }
                        tbody { @for (part, hand) in hands { tr {
                            td.number data-label="Row" { (hand.row) @if self.parts.len() > 1 { small { (self.parts[part].name) } } }
                            td data-label="Name" { (self.name(hand)) }
                            td data-label="Service" { (hand.service) }
                            td data-label="Cause" { span { (hand.cause) @if self.redact == Redact::Nothing { small { (hand.message) } } } }
                            td data-label="Who" { (hand.who) }
                            td data-label="Next step" { (hand.next_step) }
                        } } }
                    }
                }
            }
        }
    }

    /// A sentence that may repeat what the service said about a user.
    fn sentence(&self, text: &str) -> String {
        match self.redact {
            Redact::Nothing => text.to_owned(),
            Redact::Upn => without_names(text),
        }
    }

    fn name(&self, hand: &Hand) -> String {
        match self.redact {
            Redact::Nothing => hand.name.clone(),
            Redact::Upn if uuid::Uuid::try_parse(&hand.name).is_ok() => hand.name.clone(),
            Redact::Upn => format!("row {}", hand.row),
        }
    }
}

/// The text without anything that may be a sign-in name: letters around an `@`, up to blanks, quotes and brackets.
pub(super) fn without_names(text: &str) -> String {
    let is_between = |c: char| c.is_whitespace() || "\"'`()<>[]{},;:=".contains(c);
    let show = |word: &str| {
        let bare = word.trim_end_matches(is_between);
        if bare.contains('@') { format!("[sign-in name]{}", &word[bare.len()..]) } else { word.to_owned() }
    };
    text.split_inclusive(is_between).map(show).collect()
}

/// Everything is forbidden but the one style.
fn policy() -> String {
    let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn tenant(summary: &Summary) -> &str {
    if summary.run.simulated { "the simulator" } else { &summary.run.identity.tenant }
}

fn when(line: &Timeline, name: Option<&str>) -> Markup {
    let throttled: u64 = line.bins.iter().map(|bin| bin.throttled).sum();
    html! {
        section {
            h2 { "When" @if let Some(name) = name { ", " (name) } }
            figure {
                (timeline(line))
                @if let Some((from, to)) = line.span {
                    div.axis { span { (moment(from)) } span { (moment(to)) } }
                }
                figcaption {
                    span.key.accepted {} "accepted, at most " (format!("{:.1}", line.peak())) "/s"
                    @if line.width > 1 { " (mean over " (line.width) " s)" }
                    @if throttled > 0 { span.key.throttled {} "throttled before, of the users of this moment: " (count(throttled, "requests")) }
                }
                @for silence in &line.silences {
                    p.dim {
                        "Cut out (dashed): nothing was finished from " (moment(silence.from)) " to " (moment(silence.to))
                    }
                }
                @if line.silent > line.silences.len() as u64 {
                    p.dim { (line.silent - line.silences.len() as u64) " further silences were cut out" }
                }
            }
        }
    }
}

fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn asked(part: &Part) -> Markup {
    let run = &part.summary.run;
    let row = |name: &str, value: &str| html! { @if !value.is_empty() { dt { (name) } dd { (value) } } };
    let mut settings = Vec::new();
    list("", &run.settings, &mut settings);
    html! {
        section {
            h2 { "What was asked, and with which authority" }
            dl {
                (row("Run", &part.name))
                (row("Tenant", tenant(&part.summary)))
                (row("App", &run.identity.app))
                (row("Graph", &run.identity.endpoint))
                (row("Asked for", &format!("{} by column {:?}", run.identity.object.plural(), run.identity.column)))
                (row("Input", &run.input))
                (row("SHA-256", &run.identity.input_sha256))
                (row("Operator", &format!("{} on {}", run.operator, run.host)))
                (row("Label", run.label.as_deref().unwrap_or_default()))
                (row("Ticket", run.ticket.as_deref().unwrap_or_default()))
                (row("Begun", &moment(run.created_at)))
                (row("Last invocation", &format!("{}, {}", moment(run.started_at), human_s(part.summary.wall_s))))
                (row("From the first request to the last answer", &human_s(part.summary.elapsed_s)))
                (row("Exit code", &part.summary.exit_code.to_string()))
                (row("Settings", &settings.join(" · ")))
                (row("Version", &run.version))
            }
        }
    }
}

/// Settings as `name value`, those inside others after them.
fn list(name: &str, value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(name, value)| list(name, value, into))
        }
        serde_json::Value::String(text) => into.push(format!("{name} {text}")),
        other => into.push(format!("{name} {other}")),
    }
}

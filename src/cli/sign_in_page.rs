//! `reprovision help sign-in`: the page about sign-in, because `docs/` is not installed with the program.

use clap::Command;

/// The page as it is in the repository.
const PAGE: &str = include_str!("../../docs/sign-in.md");

/// A hidden command whose help is the page.
pub(super) fn topic() -> Command {
    Command::new("sign-in")
        .about("All ways to sign in")
        .long_about(without_links(PAGE))
        .help_template("{about-with-newline}")
        .arg_required_else_help(true)
        .disable_help_flag(true)
        .hide(true)
}

/// The page with the text of its links and without their targets, which a terminal cannot follow.
/// Links to other sites keep their targets in parentheses.
fn without_links(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("](") {
        let (target, after) = after.split_once(')').unwrap_or((after, ""));
        let (start, label) = before.rsplit_once('[').unwrap_or(("", before));
        text.push_str(start);
        text.push_str(label);
        if target.starts_with("https://") {
            text.push_str(&format!(" ({target})"));
        }
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_page_become_text() {
        let page = "See [one](a.md#b) and [`two`](https://c.d).\n[Three](e.md) [x] (y)";
        assert_eq!(without_links(page), "See one and `two` (https://c.d).\nThree [x] (y)");
        let text = without_links(PAGE);
        assert!(!text.contains("](") && !text.contains(".md"), "{text}");
        assert!(text.contains("AZURE_CLIENT_CERTIFICATE_PATH"), "{text}");
    }
}

//! A person at a terminal: the program on a real pseudo-terminal, and what its screen shows.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use crate::service::Service;

/// Longest wait for something to appear on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows: more than anything here prints, so that nothing scrolls away.
const ROWS: u16 = 120;
/// Ctrl-C and Ctrl-D as a keyboard sends them.
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const QUESTION: &str = "[y/N]";

/// A terminal with the program in it.
struct Terminal {
    child: Child,
    master: File,
    before: Termios,
    reader: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Runs a line of bash in a session of its own, whose terminal this is. `reprovision` is the program.
    fn run(columns: u16, line: &str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name");
        tcsetwinsize(&master, size(columns)).expect("its size");
        let side =
            File::options().read(true).write(true).open(name.to_str().expect("UTF-8")).expect("its side");
        let before = tcgetattr(&side).expect("its settings");
        let program = format!("reprovision() {{ {:?} \"$@\"; }}; ", env!("CARGO_BIN_EXE_reprovision"));
        let child = Command::new("setsid")
            .args(["--ctty", "bash", "-c", &(program + line)])
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("TERM", "xterm-256color")
            .envs(variables.iter().copied())
            .stdin(Stdio::from(side.try_clone().expect("a handle")))
            .stdout(Stdio::from(side.try_clone().expect("a handle")))
            .stderr(Stdio::from(side))
            .spawn()
            .expect("setsid");
        let seen = Arc::new(Mutex::new(Seen {
            screen: Parser::new(cells(ROWS), cells(columns), 0),
            bytes: Vec::new(),
        }));
        let master = File::from(master);
        let reader = {
            let (seen, mut master) = (seen.clone(), master.try_clone().expect("a handle"));
            thread::spawn(move || {
                let mut part = [0; 4_096];
                // The end of the last process in it is an error of the terminal.
                while let Ok(n @ 1..) = master.read(&mut part) {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.screen.process(&part[..n]);
                    seen.bytes.extend_from_slice(&part[..n]);
                }
            })
        };
        Self { child, master, before, reader: Some(reader), seen }
    }

    fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lines on the screen, without the empty ones at its end.
    fn screen(&self) -> String {
        self.look(|seen| seen.screen.screen().contents().trim_end().to_owned())
    }

    /// The screen once it is as wanted.
    fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "it did not appear:\n{screen}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn shows(&self, text: &str) -> String {
        self.until(|screen| screen.contains(text))
    }

    fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("typed");
    }

    fn resize(&self, columns: u16) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .screen
            .screen_mut()
            .set_size(cells(ROWS), cells(columns));
        tcsetwinsize(&self.master, size(columns)).expect("resized");
    }

    /// Waits for the end. The terminal must be as it was found.
    fn end(mut self, code: i32) -> Shown {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end:\n{}", self.screen());
            thread::sleep(Duration::from_millis(10));
        };
        self.reader.take().expect("one reader").join().expect("the reader");
        let screen = self.screen();
        assert_eq!(status.code(), Some(code), "{screen}");
        let after = tcgetattr(&self.master).expect("its settings");
        assert_eq!(after.local_modes, self.before.local_modes, "{screen}");
        assert_eq!(after.input_modes, self.before.input_modes, "{screen}");
        assert_eq!(after.output_modes, self.before.output_modes, "{screen}");
        assert!(after.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON), "{screen}");
        self.look(|seen| {
            let end = seen.screen.screen();
            assert!(!end.hide_cursor() && !end.alternate_screen(), "{screen}");
            assert_eq!(end.cursor_position().1, 0, "the shell's prompt begins a line:\n{screen}");
            Shown { screen, bytes: String::from_utf8_lossy(&seen.bytes).into_owned() }
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was left on a screen, and all that was written to it.
struct Shown {
    screen: String,
    bytes: String,
}

fn cells(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("more than none")
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn list(folder: &Path, users: u64) {
    let rows: String = (1..=users).map(|row| format!("{row:08x}-0000-4000-8000-000000000000\n")).collect();
    std::fs::write(folder.join("users.csv"), format!("id\n{rows}")).expect("the list");
}

/// A tenant in which everybody of any list exists, with these rules besides.
fn tenant(folder: &Path, rules: &str) -> Service {
    Service::of(folder, &format!("title = 'terminal'\n{rules}\n[objects]\nunknown_ids_exist = true\n"))
}

fn asked(columns: u16, line: &str, folder: &Path, service: &Service) -> Terminal {
    let variables =
        [("REPROVISION_ENDPOINT", service.endpoint.as_str()), ("REPROVISION_TOKEN", &service.token)];
    Terminal::run(columns, line, folder, &variables)
}

fn arrivals(service: &Service) -> u64 {
    service.account("/__ledger")["arrivals"].as_u64().expect("a number")
}

#[test]
fn only_yes_at_the_prompt_sends() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 3);
    let service = tenant(folder.path(), "");
    for (keys, code, said) in [
        ("n\n", 7, "declined; nothing was sent"),
        ("\n", 7, "declined; nothing was sent"),
        ("yesterday\n", 7, "declined; nothing was sent"),
        (CTRL_D, 7, "declined; nothing was sent"),
        (CTRL_C, 130, "stopped; nothing was sent"),
    ] {
        let mut terminal =
            asked(100, "reprovision run users.csv --tenant contoso.com", folder.path(), &service);
        let screen = terminal.shows(QUESTION);
        for line in [
            "Tenant   contoso.com   cloud global    signed in as app ",
            "Input    users.csv: 3 rows, ',' separated, UTF-8, id column \"id\"",
            "         3 users · 0 duplicates · 0 unusable",
            "Run      NEW, ",
            "Time     about 1 s; Ctrl-C stops safely",
            "Ask Microsoft 365 to retry provisioning for 3 users in contoso.com? [y/N]",
        ] {
            assert!(screen.lines().any(|shown| shown.starts_with(line)), "{line:?} is missing:\n{screen}");
        }
        terminal.keys(keys);
        let shown = terminal.end(code);
        let last = shown.screen.lines().last().expect("a line");
        assert!(last.trim_start_matches("error: ").starts_with(said), "{keys:?}:\n{}", shown.screen);
        assert_eq!(arrivals(&service), 0, "{keys:?}:\n{}", shown.screen);
        let runs = std::fs::read_dir(folder.path().join("reprovision-runs")).into_iter().flatten().flatten();
        let runs = runs.filter(|entry| entry.path().is_dir()).count();
        assert_eq!(runs, 0, "{keys:?} leaves no folder");
    }
    let mut terminal = asked(100, "reprovision run users.csv --tenant contoso.com", folder.path(), &service);
    terminal.shows(QUESTION);
    terminal.keys("Yes\n");
    let shown = terminal.end(0);
    assert!(shown.screen.contains("3 rows in = 3 rows out"), "{}", shown.screen);
    assert_eq!(arrivals(&service), 3);
}

#[test]
fn prompt_reaches_the_terminal_with_piped_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 3);
    let service = tenant(folder.path(), "");
    // The list comes through standard input, the account goes to a file: neither is where the answer comes from.
    let line = "cat users.csv | reprovision run - --tenant contoso.com > account.txt";
    let mut terminal = asked(100, line, folder.path(), &service);
    terminal.shows(QUESTION);
    terminal.keys("y\n");
    let shown = terminal.end(0);
    assert!(!shown.screen.contains("rows out"), "{}", shown.screen);
    let account = std::fs::read_to_string(folder.path().join("account.txt")).expect("the account");
    assert!(account.contains("3 rows in = 3 rows out") && !account.contains('\u{1b}'), "{account}");

    // Where nobody sees the question, nobody is asked.
    let line = "reprovision run users.csv --tenant contoso.com --new-run 2> said.txt";
    let shown = asked(100, line, folder.path(), &service).end(2);
    assert_eq!(shown.screen, "");
    let said = std::fs::read_to_string(folder.path().join("said.txt")).expect("what was said");
    assert!(
        said.contains("confirmation needs a terminal, and this process has none. Nothing was sent."),
        "{said}"
    );
    assert!(said.trim_end().ends_with("run users.csv --tenant contoso.com --new-run --yes"), "{said}");

    let line = "reprovision run users.csv --tenant contoso.com --new-run --yes -q 2> said.txt";
    let shown = asked(100, line, folder.path(), &service).end(0);
    assert!(shown.screen.contains("3 rows in = 3 rows out"), "{}", shown.screen);
    let said = std::fs::read_to_string(folder.path().join("said.txt")).expect("what was said");
    assert!(said.lines().all(|line| line.starts_with("warning: ")), "{said}");

    let line = "reprovision run users.csv --tenant contoso.com --new-run --yes 2> said.txt";
    let shown = asked(100, line, folder.path(), &service).end(0);
    assert!(shown.screen.contains("3 rows in = 3 rows out"), "{}", shown.screen);
    let said = std::fs::read_to_string(folder.path().join("said.txt")).expect("what was said");
    assert!(said.contains("Tenant   contoso.com") && !said.contains('\u{1b}'), "{said}");
    assert_eq!(arrivals(&service), 9);
}

#[test]
fn token_command_may_prompt_and_gets_ctrl_c() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 3);
    let service = tenant(folder.path(), "");
    std::fs::write(folder.path().join("given.token"), &service.token).expect("written");
    let ask = "printf 'Passphrase: ' > /dev/tty; read -r word < /dev/tty; test \"$word\" = open && cat given.token; \
               echo ended > ended.txt";
    let variables = [("REPROVISION_ENDPOINT", service.endpoint.as_str()), ("REPROVISION_TOKEN_COMMAND", ask)];
    let line = "reprovision run users.csv --tenant contoso.com --yes";
    let mut terminal = Terminal::run(100, line, folder.path(), &variables);
    terminal.shows("Passphrase:");
    terminal.keys(CTRL_C);
    let shown = terminal.end(130);
    assert!(shown.screen.contains("nothing was sent"), "{}", shown.screen);
    assert!(!folder.path().join("ended.txt").exists(), "the command heard it too:\n{}", shown.screen);
    let mut terminal = Terminal::run(100, line, folder.path(), &variables);
    terminal.shows("Passphrase:");
    terminal.keys("open\n");
    let shown = terminal.end(0);
    assert!(shown.screen.contains("3 rows in = 3 rows out"), "{}", shown.screen);
}

/// The bar's lines: from the one with the share done on.
fn bar(screen: &str) -> Vec<&str> {
    let lines: Vec<_> = screen.lines().collect();
    let first = lines.iter().rposition(|line| line.contains(" %")).unwrap_or(lines.len());
    lines[first..].to_vec()
}

#[test]
fn bar_fits_the_terminal_and_counts_a_pause_down() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 60);
    let rules = "writes_per_second = 40.0\ncapacity = 4.0\nthrottle_after = [20]\nthrottle_wait_s = [4, 4]";
    for (columns, variables) in [(120, ("NO_COLOR", "1")), (40, ("COLORTERM", "truecolor"))] {
        let service = tenant(folder.path(), rules);
        let line = "reprovision run users.csv --tenant contoso.com --yes --new-run --rate fixed:20";
        let signed_in =
            [("REPROVISION_ENDPOINT", service.endpoint.as_str()), ("REPROVISION_TOKEN", &service.token)];
        let terminal = Terminal::run(columns, line, folder.path(), &[signed_in[0], signed_in[1], variables]);
        let paused = "paused by Microsoft 365 (your app's limit in this tenant): ";
        // The seconds left, where the bar says that it waits.
        let left = |screen: &str| {
            let lines: Vec<_> = bar(screen).into_iter().map(str::trim).collect();
            let said = lines.join(" ");
            said.split_once(paused).and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok())
        };
        let running = terminal.shows(" %");
        assert!(bar(&running).iter().all(|line| line.chars().count() < usize::from(columns)), "{running}");
        // Waited for, as a look may fall into the middle of its being drawn.
        let first = terminal.until(|screen| {
            let lines = bar(screen);
            left(screen).is_some()
                && lines.len() == if columns == 40 { 4 } else { 2 }
                && lines.iter().all(|line| line.starts_with("  "))
                && lines[0].contains('░')
        });
        terminal.until(|screen| left(screen).is_some_and(|later| Some(later) < left(&first)));
        let shown = terminal.end(0);
        assert!(
            !shown.screen.contains(paused) && !shown.screen.contains('░'),
            "the bar is gone:\n{}",
            shown.screen
        );
        let mut sequences =
            shown.bytes.split("\u{1b}[").skip(1).map(|rest| rest.chars().find(char::is_ascii_alphabetic));
        assert!(sequences.all(|end| end != Some('m')), "no colours: {:?}", shown.bytes);
    }
}

#[test]
fn bar_follows_a_resized_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 5_000);
    let service = tenant(folder.path(), "");
    let line = "reprovision run users.csv --tenant contoso.com --yes --rate fixed:40";
    let mut terminal = asked(60, line, folder.path(), &service);
    let width = |screen: &str| bar(screen).first().map_or(0, |line| line.chars().count());
    for columns in [60, 90, 50] {
        terminal.resize(columns);
        let columns = usize::from(columns);
        terminal.until(|screen| (columns - 6..columns).contains(&width(screen)));
    }
    terminal.resize(34);
    terminal
        .until(|screen| bar(screen).len() > 2 && bar(screen).iter().all(|line| line.chars().count() < 34));
    terminal.keys(CTRL_C);
    let shown = terminal.end(130);
    assert!(shown.screen.contains("Continue  "), "{}", shown.screen);
}

#[test]
fn messages_printed_beside_the_bar_stay_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 60);
    let service = tenant(folder.path(), "");
    let line = "reprovision run users.csv --tenant contoso.com --yes -v --rate fixed:30";
    let terminal = asked(200, line, folder.path(), &service);
    terminal.until(|screen| screen.contains('░') && screen.contains("accepted"));
    let shown = terminal.end(0);
    let lines: Vec<_> = shown.screen.lines().collect();
    let logged = lines.iter().filter(|line| line.starts_with("20") && line.contains("INFO")).count();
    assert_eq!(logged, 60, "{}", shown.screen);
    for line in &lines {
        assert!(
            !line.contains('░') && !line.contains("stops safely\u{20}"),
            "{line:?} of:\n{}",
            shown.screen
        );
        let logs = line.matches("INFO").count();
        assert!(logs == 0 || (logs == 1 && line.starts_with("20")), "{line:?} of:\n{}", shown.screen);
    }
    assert!(shown.screen.contains("60 rows in = 60 rows out"), "{}", shown.screen);
}

#[test]
fn ctrl_c_removes_the_bar_and_shows_how_to_resume() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 2_000);
    let service = tenant(folder.path(), "");
    let line = "reprovision run users.csv --tenant contoso.com --yes --rate fixed:50";
    let mut terminal = asked(90, line, folder.path(), &service);
    terminal.until(|screen| screen.contains('█'));
    terminal.keys(CTRL_C);
    let shown = terminal.end(130);
    let screen = &shown.screen;
    assert!(
        screen.contains(
            "stopping: waiting up to 10 s for requests in flight. Press Ctrl-C again to exit immediately"
        ),
        "{screen}"
    );
    assert!(screen.contains("Continue  "), "{screen}");
    assert!(
        !screen.contains('█') && !screen.contains('░') && !screen.contains("in flight 0"),
        "no rest of the bar:\n{screen}"
    );
}

#[test]
fn dumb_terminal_gets_plain_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 5);
    let service = tenant(folder.path(), "");
    let signed_in =
        [("REPROVISION_ENDPOINT", service.endpoint.as_str()), ("REPROVISION_TOKEN", &service.token)];
    for dumb in [("TERM", "dumb"), ("CI", "true")] {
        let line =
            "reprovision run users.csv --tenant contoso.com --yes --new-run && reprovision find --summary";
        let shown = Terminal::run(80, line, folder.path(), &[signed_in[0], signed_in[1], dumb]).end(0);
        assert!(shown.screen.contains("5 rows in = 5 rows out"), "{}", shown.screen);
        assert!(!shown.bytes.contains('\u{1b}'), "{:?}", shown.bytes);
    }
}

#[test]
fn second_start_of_a_live_run_is_pointed_to_status() {
    let folder = tempfile::tempdir().expect("a folder");
    list(folder.path(), 5_000);
    let service = tenant(folder.path(), "");
    let line = "reprovision run users.csv --tenant contoso.com --yes --rate fixed:20 --out run";
    let mut first = asked(100, line, folder.path(), &service);
    first.until(|screen| screen.contains('█'));
    let again = asked(100, line, folder.path(), &service).end(8);
    let said = again.screen.replace('\n', " ");
    assert!(said.contains("another process is working on this run"), "{said}");
    assert!(said.contains("`reprovision status run` tells how far it is"), "{said}");
    // Narrower than what is said, so that lines are wrapped by the terminal.
    let watching = asked(70, "reprovision status run --watch", folder.path(), &service);
    let shares = |screen: &str| screen.matches("of 5,000 rows").count();
    watching.until(|screen| shares(screen) == 1 && screen.contains("running"));
    first.keys(CTRL_C);
    first.end(130);
    let shown = watching.end(0);
    assert_eq!((shares(&shown.screen), shown.screen.matches("State").count()), (1, 1), "{}", shown.screen);
    assert!(shown.screen.contains("State    stopped"), "{}", shown.screen);
}

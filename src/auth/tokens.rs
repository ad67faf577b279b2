//! The only token cache: one renewal for all workers, early enough, and after a 401.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, sleep_until};

use super::claims::Claims;
use super::failure::{Failure, PATIENCE, pause};
use super::host::Grant;
use super::notices::Notices;
use super::skew;
use super::source::TokenSource;
use super::token::{Life, Token};
use crate::model::{MAX_MESSAGE, WallClock, sanitize};

/// Not used any more so short before its end, at most: a request takes that long to be judged …
const SPENT: Duration = Duration::from_secs(30);
/// … or this share of its life, if that is less.
const SPENT_SHARE: u32 = 20;
/// Other programs cache a token until about five minutes before its end. Receiving the same token again is
/// not an error before that.
const LATE: Duration = Duration::from_secs(120);
/// A host that names a wait is waited for so long in all, where nobody can go on without a token: a busy
/// sign-in host asks for up to a minute, and a job at night should outlive that.
const ANNOUNCED: Duration = Duration::from_secs(150);
/// Consecutive responses that must agree before a clock skew is reported. A single one may come from a
/// gateway with a wrong clock.
const CLOCK_WITNESSES: u32 = 3;

/// The state of the present token.
#[derive(Debug)]
enum Held {
    /// Nothing to do.
    Good(Arc<Token>),
    /// Good for now; time to get the next one.
    Due(Arc<Token>),
    /// None, too old, or refused by a 401.
    Spent(Option<Arc<Token>>),
}

/// Between renewals that failed.
#[derive(Debug, Default)]
struct Renewal {
    failures: u32,
    not_before: Option<Instant>,
    /// Whether the host asked for this wait.
    announced: bool,
    /// Whether a failure has been reported.
    told: bool,
}

/// The cache; clones share it.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: TokenSource,
    expected: RwLock<Vec<Expected>>,
    plain_http: bool,
    wall: WallClock,
    cache: RwLock<Option<Arc<Token>>>,
    renewal: Arc<tokio::sync::Mutex<Renewal>>,
    /// Newest generation that a 401 came back for; 0: none.
    rejected: AtomicU64,
    /// A claims challenge to be repeated, and whether it has been.
    challenge: Mutex<Challenge>,
    /// A renewal that gave a token of another tenant: nothing is sent any more.
    poison: Mutex<Option<String>>,
    /// Seconds that this machine's clock is ahead of the service's.
    skew: AtomicI64,
    /// Consecutive responses with another clock skew than `skew`.
    witnesses: AtomicU32,
    clock_told: AtomicBool,
    notices: Notices,
}

/// The tenant that every token must belong to.
#[derive(Debug)]
struct Expected {
    flag: &'static str,
    asked: String,
    id: String,
}

#[derive(Debug, Default)]
struct Challenge {
    claims: Option<String>,
    answered: Option<String>,
}

impl Tokens {
    /// `plain_http`: the endpoint is a loopback address without TLS, where tokens meant for Microsoft are
    /// refused.
    pub fn new(source: TokenSource, plain_http: bool) -> Self {
        Self::telling(source, plain_http, Notices::silent())
    }

    /// [`Tokens::new`] with a receiver for notices.
    pub fn telling(source: TokenSource, plain_http: bool, notices: Notices) -> Self {
        Self::with_clock(source, plain_http, notices, WallClock::System)
    }

    pub(super) fn with_clock(
        source: TokenSource,
        plain_http: bool,
        notices: Notices,
        wall: WallClock,
    ) -> Self {
        Self(Arc::new(Shared {
            source,
            expected: RwLock::default(),
            plain_http,
            wall,
            cache: RwLock::default(),
            renewal: Arc::default(),
            rejected: AtomicU64::new(0),
            challenge: Mutex::default(),
            poison: Mutex::default(),
            skew: AtomicI64::new(0),
            witnesses: AtomicU32::new(0),
            clock_told: AtomicBool::new(false),
            notices,
        }))
    }

    /// From now on every readable token must be of this tenant, the one at hand included. `flag` and `asked`
    /// are for the message, `id` is the GUID.
    ///
    /// # Errors
    /// The token at hand is of another tenant; nothing more is given out then.
    pub fn expect(&self, flag: &'static str, asked: &str, id: String) -> Result<(), String> {
        let expected = Expected { flag, asked: asked.to_owned(), id };
        self.0.expected.write().unwrap_or_else(PoisonError::into_inner).push(expected);
        let held = self.0.cache.read().unwrap_or_else(PoisonError::into_inner).clone();
        let checked = held.map_or(Ok(()), |token| self.0.check(&token.claims));
        if let Err(text) = &checked {
            *lock(&self.0.poison) = Some(text.clone());
        }
        checked
    }

    /// The name of the source of tokens.
    pub fn source_name(&self) -> &'static str {
        self.0.source.name()
    }

    /// Reports a warning of the session, once and in its place among those of the sign-in.
    pub fn warn(&self, text: &str) {
        self.0.notices.warn(text);
    }

    /// The notices so far, for the summary.
    pub fn notices(&self) -> Vec<String> {
        self.0.notices.kept()
    }

    /// Records the clock skew of a response: the seconds by which this machine is ahead of the service,
    /// negative if behind.
    pub fn clock_seen(&self, ahead: i64) {
        self.0.clock_seen(ahead, CLOCK_WITNESSES);
    }

    /// A token that is good now. One that ends soon is renewed beside the work; where none is good, all wait
    /// for the same renewal, which is tried again for as long as that makes sense.
    ///
    /// # Errors
    /// A sentence that says why there is none and what to do; never the token.
    pub async fn current(&self) -> Result<Arc<Token>, String> {
        match self.0.held()? {
            Held::Good(token) => return Ok(token),
            Held::Due(token) => {
                if let Ok(turn) = self.0.renewal.clone().try_lock_owned()
                    && turn.not_before.is_none_or(|at| at <= Instant::now())
                {
                    let shared = self.0.clone();
                    tokio::spawn(async move { shared.renew_early(turn).await });
                }
                return Ok(token);
            }
            Held::Spent(_) => {}
        }
        let turn = self.0.renewal.clone().lock_owned().await;
        match self.0.held()? {
            Held::Good(token) | Held::Due(token) => Ok(token),
            Held::Spent(old) => self.0.renew_now(turn, old).await,
        }
    }

    /// A 401 came back for a token of this generation: it is renewed before the next request, if it is still
    /// current. `claims` is the challenge that came with it.
    pub fn reject(&self, generation: u64, claims: Option<&str>) {
        self.0.rejected.fetch_max(generation, Relaxed);
        if let Some(claims) = claims {
            let mut challenge = lock(&self.0.challenge);
            let held = self.0.cache.read().unwrap_or_else(PoisonError::into_inner).clone();
            // What was sent with an older token says nothing of the one at hand, which may be the answer to
            // it.
            if held.is_none_or(|token| generation >= token.generation) {
                challenge.claims = Some(claims.to_owned());
            }
        }
    }
}

impl Tokens {
    /// Gets a newer token than this generation, if the source gives one at the first try; the present one
    /// stays good. Whether there is a newer one now.
    pub async fn renew(&self, generation: u64) -> bool {
        let held = || self.0.cache.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut turn = self.0.renewal.clone().lock_owned().await;
        let old = held();
        if old.as_ref().is_none_or(|token| token.generation <= generation)
            && self.0.fetch(old.as_ref()).await.is_ok()
        {
            self.0.renewed(&mut turn);
        }
        held().is_some_and(|token| token.generation > generation)
    }
}

impl Shared {
    fn held(&self) -> Result<Held, String> {
        if let Some(text) = lock(&self.poison).clone() {
            return Err(text);
        }
        let held = self.cache.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(token) = held else { return Ok(Held::Spent(None)) };
        if self.rejected.load(Relaxed) >= token.generation {
            return Ok(Held::Spent(Some(token)));
        }
        let Some(life) = token.life else { return Ok(Held::Good(token)) };
        // There is no other: whether it is dead is for the service to say, not for a clock that was set.
        if !self.source.may_renew() && !life.left_awake(Instant::now()).is_zero() {
            return Ok(Held::Good(token));
        }
        let left = life.left(Instant::now(), self.wall.now());
        Ok(if left <= SPENT.min(life.whole / SPENT_SHARE) {
            Held::Spent(Some(token))
        } else if life.is_due(left) {
            Held::Due(token)
        } else {
            Held::Good(token)
        })
    }

    /// Renewal in the background: after a failure it is tried again later, while the old token is valid.
    async fn renew_early(&self, mut turn: OwnedMutexGuard<Renewal>) {
        let Ok(Held::Due(old)) = self.held() else { return };
        match self.fetch(Some(&old)).await {
            Ok(_) => self.renewed(&mut turn),
            // A token of another tenant stops the run, and the stop reports it.
            Err(_) if lock(&self.poison).is_some() => {}
            Err(failure) => {
                let left = self.life_left(Some(&old));
                let expected = matches!(failure, Failure::Same { .. }) && left > LATE;
                let left = left.as_secs();
                self.failed(&mut turn, &failure, expected, || {
                    format!(
                        "the current token is valid for another {left} s. Renewal is retried until then. If it fails, the run stops; run the same command again to resume"
                    )
                });
            }
        }
    }

    /// All requests wait for this token.
    async fn renew_now(
        &self,
        mut turn: OwnedMutexGuard<Renewal>,
        old: Option<Arc<Token>>,
    ) -> Result<Arc<Token>, String> {
        let started = Instant::now();
        // A wait that the host asked for is kept, up to the time limit.
        if let Some(at) = turn.not_before.filter(|at| turn.announced && *at - started <= ANNOUNCED) {
            sleep_until(at).await;
        }
        // From here on requests wait, so retries are more frequent.
        turn.failures = 0;
        loop {
            let failure = match self.fetch(old.as_ref()).await {
                Ok(token) => {
                    self.renewed(&mut turn);
                    return Ok(token);
                }
                Err(failure) => failure,
            };
            let (text, after, patience) = match &failure {
                Failure::Final(text) => return Err(text.clone()),
                Failure::Same { text, patience } => (text, None, *patience),
                Failure::Passing { text, after, patience } => (text, *after, *patience),
            };
            let patience = after.map_or(patience, |_| ANNOUNCED.max(patience));
            let most = patience.max(self.life_left(old.as_deref()));
            let pause = pause(turn.failures + 1, after);
            if started.elapsed() + pause > most {
                return Err(match after {
                    Some(wait) => format!("{text}\n  it asks for a pause of {} s", wait.as_secs()),
                    None => text.clone(),
                });
            }
            let left = most.saturating_sub(started.elapsed()).as_secs();
            self.failed(&mut turn, &failure, false, || {
                format!("nothing is sent meanwhile; trying again for up to {left} s")
            });
            sleep(pause).await;
        }
    }

    /// Counts a failure. The first unexpected one in a row is reported with its meaning.
    fn failed(
        &self,
        turn: &mut Renewal,
        failure: &Failure,
        expected: bool,
        meaning: impl FnOnce() -> String,
    ) {
        let asked = match failure {
            Failure::Passing { after, .. } => *after,
            Failure::Same { .. } | Failure::Final(_) => None,
        };
        turn.failures += 1;
        turn.not_before = Some(Instant::now() + pause(turn.failures, asked));
        turn.announced = asked.is_some();
        if !expected && !std::mem::replace(&mut turn.told, true) {
            self.notices.warn(&format!("no new token: {}\n  {}", failure.text(), meaning()));
        }
    }

    fn renewed(&self, turn: &mut Renewal) {
        if turn.told {
            self.notices.note("the sign-in works again: there is a new token");
        }
        *turn = Renewal::default();
    }

    /// The remaining lifetime of a token that was not rejected.
    fn life_left(&self, token: Option<&Token>) -> Duration {
        let token = token.filter(|token| self.rejected.load(Relaxed) < token.generation);
        let life = token.and_then(|token| token.life);
        life.map_or(Duration::ZERO, |life| life.left(Instant::now(), self.wall.now()))
    }

    async fn fetch(&self, old: Option<&Arc<Token>>) -> Result<Arc<Token>, Failure> {
        let claims = self.challenge_to_repeat()?;
        let grant = self.source.fetch(claims.as_deref()).await?;
        let (now, wall) = (Instant::now(), self.wall.now());
        if let Some(date) = grant.date {
            self.clock_seen(skew::of(date, wall), 1);
        }
        if let Some(old) = old.filter(|old| old.expose() == grant.secret.expose_secret()) {
            return self.same_again(old, &grant, now, wall);
        }
        let claims_of_token = Claims::read(grant.secret.expose_secret()).unwrap_or_default();
        let checked = self.check(&claims_of_token);
        if let Err(text) = checked.and_then(|()| same_tenant(old, &claims_of_token)) {
            *lock(&self.poison) = Some(text.clone());
            return Err(Failure::Final(text));
        }
        let life = self.life(&grant, &claims_of_token, now, wall);
        if life.is_some_and(|life| life.whole.is_zero()) {
            let text = format!(
                "the token of {} has expired already, if this machine's clock is right ({wall:.0} UTC); sign in again",
                self.source.name()
            );
            return Err(if self.source.may_follow() { Failure::passing(text) } else { Failure::Final(text) });
        }
        let bearer = bearer(&grant.secret)?;
        // Held until the new token is set, so that a request rejected meanwhile is not taken for one rejected
        // with the new token.
        let mut challenge = lock(&self.challenge);
        if claims.is_some() {
            challenge.claims = None;
            challenge.answered = claims;
        }
        Ok(self.keep(Token {
            generation: old.map_or(1, |old| old.generation + 1),
            claims: claims_of_token,
            life,
            fetched: now,
            bearer,
            secret: grant.secret,
        }))
    }

    fn keep(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        *self.cache.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        token
    }

    /// Reports a wrong clock, or a clock that was set during the run, once.
    fn clock_seen(&self, ahead: i64, witnesses: u32) {
        if skew::agree(ahead, self.skew.load(Relaxed)) {
            self.witnesses.store(0, Relaxed);
            return;
        }
        if self.witnesses.fetch_add(1, Relaxed) + 1 < witnesses {
            return;
        }
        self.witnesses.store(0, Relaxed);
        self.skew.store(ahead, Relaxed);
        if let Some(said) = skew::said(ahead)
            && !self.clock_told.swap(true, Relaxed)
        {
            self.notices.warn(&said);
        }
    }

    fn challenge_to_repeat(&self) -> Result<Option<String>, Failure> {
        let challenge = lock(&self.challenge);
        match &challenge.claims {
            Some(claims) if challenge.answered.as_ref() == Some(claims) => Err(Failure::Final(
                "Microsoft 365 wants a fresh sign-in and rejected the one it got (the same claims challenge twice): \
                 a Conditional Access policy? Sign-in logs name it"
                    .to_owned(),
            )),
            claims => Ok(claims.clone()),
        }
    }

    /// The source gave the token that we have.
    fn same_again(
        &self,
        old: &Arc<Token>,
        grant: &Grant,
        now: Instant,
        wall: Timestamp,
    ) -> Result<Arc<Token>, Failure> {
        let lived = now.saturating_duration_since(old.fetched).as_secs() / 60;
        let rejected = self.rejected.load(Relaxed) >= old.generation;
        if !rejected && let Some(token) = old.lives_on(grant, now, wall) {
            return Ok(self.keep(token));
        }
        let left = old.life.map_or(Duration::ZERO, |life| life.left(now, wall));
        let what = if rejected {
            "Microsoft Graph does not accept the token any more"
        } else if left > SPENT {
            "the token ends soon"
        } else {
            "the token has reached its end"
        };
        let text = format!(
            "{what} (after {lived} min) and {} gives no newer one; \
             sign in again, or use --token-command or --auth for runs longer than a token lives",
            self.source.name()
        );
        Err(if self.source.may_follow() {
            Failure::Same { text, patience: PATIENCE }
        } else if rejected || !self.source.may_renew() {
            Failure::Final(text)
        } else {
            // It lives a little longer, and a cache elsewhere may let go of it.
            Failure::Same { text, patience: Duration::ZERO }
        })
    }

    /// The lifetime according to the host, otherwise according to the token, corrected by the clock of the
    /// host.
    fn life(&self, grant: &Grant, claims: &Claims, now: Instant, wall: Timestamp) -> Option<Life> {
        let from = |here: i64, ends: i64| u64::try_from(ends.saturating_sub(here)).unwrap_or(0);
        let there = wall.as_second().saturating_sub(self.skew.load(Relaxed));
        let by_token = claims.exp.map(|exp| Duration::from_secs(from(there, exp)));
        let by_machine = grant.ends.map(|ends| Duration::from_secs(from(wall.as_second(), ends)));
        // A token that the host has just issued is valid, whatever the clock of this machine shows.
        Life::new(grant.life.or(by_machine.filter(|life| !life.is_zero())).or(by_token)?, now, wall)
    }

    fn check(&self, claims: &Claims) -> Result<(), String> {
        if self.plain_http && claims.is_for_microsoft() {
            return Err(
                "this token is meant for Microsoft and would leave in the clear: use an https endpoint"
                    .to_owned(),
            );
        }
        let Some(tid) = &claims.tid else { return Ok(()) };
        let expected = self.expected.read().unwrap_or_else(PoisonError::into_inner);
        match expected.iter().find(|expected| !expected.id.eq_ignore_ascii_case(tid)) {
            Some(Expected { flag, asked, id }) => {
                let name = if asked.eq_ignore_ascii_case(id) { String::new() } else { format!(" ({id})") };
                Err(format!(
                    "wrong tenant: the token is for {}, {flag} asks for {}{name}; nothing was sent with it. Sign in there, or change {flag}",
                    sanitize(tid, MAX_MESSAGE),
                    sanitize(asked, MAX_MESSAGE)
                ))
            }
            None => Ok(()),
        }
    }
}

/// A run is for one tenant, also where none was named: that of its first token, which was shown before
/// anybody agreed.
fn same_tenant(old: Option<&Arc<Token>>, new: &Claims) -> Result<(), String> {
    let Some(before) = old.and_then(|old| old.claims.tid.as_deref()) else { return Ok(()) };
    let now = match &new.tid {
        Some(tid) if tid.eq_ignore_ascii_case(before) => return Ok(()),
        Some(tid) => format!("is for {}", sanitize(tid, MAX_MESSAGE)),
        None => "does not say for which it is".to_owned(),
    };
    Err(format!(
        "wrong tenant: the token so far was for {}, and the new one {now}; nothing was sent with it. Sign in as before, or \
         name the tenant with --tenant and begin again",
        sanitize(before, MAX_MESSAGE)
    ))
}

fn bearer(text: &SecretString) -> Result<HeaderValue, Failure> {
    let line = Zeroizing::new(format!("Bearer {}", text.expose_secret()));
    let mut value = HeaderValue::from_str(&line)
        .map_err(|_| Failure::Final("the token cannot be sent as a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

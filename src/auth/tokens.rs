//! The only token cache: one renewal for all workers, early enough, and after a 401.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

use super::claims::Claims;
use super::failure::{Failure, pause};
use super::host::Grant;
use super::skew;
use super::source::TokenSource;
use crate::model::{MAX_MESSAGE, WallClock, neutral};

/// Renewed this long before its end, at most …
const EARLY: Duration = Duration::from_secs(300);
/// … or this share of its life, if that is less.
const EARLY_SHARE: u32 = 5;
/// Not used any more so short before its end, at most: a request takes that long to be judged …
const SPENT: Duration = Duration::from_secs(30);
/// … or this share of its life, if that is less.
const SPENT_SHARE: u32 = 20;

/// A bearer token with its number.
#[derive(Debug)]
pub struct Token {
    secret: SecretString,
    /// Made once: a run of a million requests signs each of them with it.
    bearer: HeaderValue,
    /// Counts up by one with every renewal.
    pub generation: u64,
    /// What it says of itself.
    pub claims: Claims,
    life: Option<Life>,
    fetched: Instant,
}

/// When it ends, by both clocks: one stands still while a machine sleeps, the other may be set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    whole: Duration,
    ends: Instant,
    ends_by_wall: Timestamp,
}

impl Life {
    /// `None`: longer than a time can be.
    pub(super) fn new(whole: Duration, now: Instant, wall: Timestamp) -> Option<Self> {
        let ends_by_wall = wall.checked_add(jiff::SignedDuration::try_from(whole).ok()?).ok()?;
        Some(Self { whole, ends: now + whole, ends_by_wall })
    }

    pub(super) fn left(&self, now: Instant, wall: Timestamp) -> Duration {
        let by_wall = Duration::try_from(self.ends_by_wall.duration_since(wall)).unwrap_or_default();
        self.ends.saturating_duration_since(now).min(by_wall)
    }
}

impl Token {
    /// The `Authorization` header it goes into; hidden from logs.
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// How good the token at hand is.
#[derive(Debug)]
enum Held {
    /// Nothing to do.
    Good(Arc<Token>),
    /// Good for now; time to get the next one.
    Due(Arc<Token>),
    /// None, too old, or refused by a 401.
    Spent(Option<Arc<Token>>),
}

/// Between renewals that failed while the token still lives.
#[derive(Debug, Default)]
struct Renewal {
    failures: u32,
    not_before: Option<Instant>,
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
}

/// A tenant that was asked for.
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
    /// `plain_http`: the endpoint is a loopback address without TLS, where tokens meant for Microsoft are refused.
    pub fn new(source: TokenSource, plain_http: bool) -> Self {
        Self::with_clock(source, plain_http, WallClock::System)
    }

    pub(super) fn with_clock(source: TokenSource, plain_http: bool, wall: WallClock) -> Self {
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
        }))
    }

    /// From now on every readable token must be of this tenant, the one at hand included. `flag` and `asked` are for
    /// the message, `id` is the GUID.
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

    /// Where the tokens come from, in words.
    pub fn source_name(&self) -> &'static str {
        self.0.source.name()
    }

    /// What to say of this machine's clock, where it is off.
    pub fn skew(&self) -> Option<String> {
        skew::said(self.0.skew.load(Relaxed))
    }

    /// A token that is good now. One that ends soon is renewed beside the work; where none is good, all wait for the
    /// same renewal, which is tried again for as long as that makes sense.
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

    /// A 401 came back for a token of this generation: it is renewed before the next request, if it is still current.
    /// `claims` is the challenge that came with it.
    pub fn reject(&self, generation: u64, claims: Option<&str>) {
        self.0.rejected.fetch_max(generation, Relaxed);
        if let Some(claims) = claims {
            lock(&self.0.challenge).claims = Some(claims.to_owned());
        }
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
        let left = life.left(Instant::now(), self.wall.now());
        if !self.source.may_renew() && !left.is_zero() {
            return Ok(Held::Good(token));
        }
        Ok(if left <= SPENT.min(life.whole / SPENT_SHARE) {
            Held::Spent(Some(token))
        } else if left <= EARLY.min(life.whole / EARLY_SHARE) {
            Held::Due(token)
        } else {
            Held::Good(token)
        })
    }

    /// Beside the work: a failure is tried again later, while the old token lives.
    async fn renew_early(&self, mut turn: OwnedMutexGuard<Renewal>) {
        let Ok(Held::Due(old)) = self.held() else { return };
        if let Err(failure) = self.fetch(Some(&old)).await {
            turn.failures += 1;
            let asked = match failure {
                Failure::Passing { after, .. } => after,
                Failure::Final(_) => None,
            };
            turn.not_before = Some(Instant::now() + pause(turn.failures, asked));
        } else {
            *turn = Renewal::default();
        }
    }

    /// Nobody can go on without.
    async fn renew_now(
        &self,
        mut turn: OwnedMutexGuard<Renewal>,
        old: Option<Arc<Token>>,
    ) -> Result<Arc<Token>, String> {
        let started = Instant::now();
        let mut failures = 0;
        loop {
            match self.fetch(old.as_ref()).await {
                Ok(token) => {
                    *turn = Renewal::default();
                    return Ok(token);
                }
                Err(Failure::Final(text)) => return Err(text),
                Err(Failure::Passing { text, after, patience }) => {
                    failures += 1;
                    let pause = pause(failures, after);
                    if started.elapsed() + pause > patience.max(self.life_left(old.as_deref())) {
                        return Err(text);
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    /// What is left of a token that was not refused.
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
            self.skew.store(skew::of(date, SystemTime::now()), Relaxed);
        }
        if let Some(old) = old.filter(|old| old.expose() == grant.secret.expose_secret()) {
            return self.same_again(old, now);
        }
        let claims_of_token = Claims::read(grant.secret.expose_secret()).unwrap_or_default();
        if let Err(text) = self.check(&claims_of_token) {
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
        if claims.is_some() {
            let mut challenge = lock(&self.challenge);
            challenge.claims = None;
            challenge.answered = claims;
        }
        let token = Arc::new(Token {
            generation: old.map_or(1, |old| old.generation + 1),
            claims: claims_of_token,
            life,
            fetched: now,
            bearer: bearer(&grant.secret)?,
            secret: grant.secret,
        });
        *self.cache.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    fn challenge_to_repeat(&self) -> Result<Option<String>, Failure> {
        let challenge = lock(&self.challenge);
        match &challenge.claims {
            Some(claims) if challenge.answered.as_ref() == Some(claims) => Err(Failure::Final(
                "Microsoft 365 wants a fresh sign-in and refused the one it got (the same claims challenge twice): \
                 a Conditional Access policy? Sign-in logs name it"
                    .to_owned(),
            )),
            claims => Ok(claims.clone()),
        }
    }

    /// The source gave the token that we have.
    fn same_again(&self, old: &Arc<Token>, now: Instant) -> Result<Arc<Token>, Failure> {
        let lived = now.saturating_duration_since(old.fetched).as_secs() / 60;
        let rejected = self.rejected.load(Relaxed) >= old.generation;
        let what = if rejected {
            "Microsoft Graph does not accept the token any more"
        } else {
            "the token has reached its end"
        };
        let text = format!(
            "{what} (after {lived} min) and {} gives no newer one; \
             sign in again, or use --token-command or --auth for runs longer than a token lives",
            self.source.name()
        );
        Err(if self.source.may_follow() {
            Failure::passing(text)
        } else if rejected || !self.source.may_renew() {
            Failure::Final(text)
        } else {
            // It lives a little longer, and a cache elsewhere may let go of it.
            Failure::Passing { text, after: None, patience: Duration::ZERO }
        })
    }

    /// By what the host says, else by what the token says, corrected by the host's clock.
    fn life(&self, grant: &Grant, claims: &Claims, now: Instant, wall: Timestamp) -> Option<Life> {
        let there = wall.as_second() - self.skew.load(Relaxed);
        let by_token = claims.exp.map(|exp| Duration::from_secs(u64::try_from(exp - there).unwrap_or(0)));
        let whole = match (grant.life, by_token) {
            // A token that the host just gave lives, whatever this machine's clock says.
            (Some(given), _) => given,
            (None, by_token) => by_token?,
        };
        Life::new(whole, now, wall)
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
                    neutral(tid, MAX_MESSAGE),
                    neutral(asked, MAX_MESSAGE)
                ))
            }
            None => Ok(()),
        }
    }
}

fn bearer(text: &SecretString) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", text.expose_secret()))
        .map_err(|_| Failure::Final("the token cannot be sent as a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! From a refusal to the first probe that is served: what those say that were on their way with the refused one.

/// So many of those served after a refused one may have overtaken it on the way. With 2 a rate of 60/s is taken for
/// 80, with 4 one of 200/s is not seen at all on some runs.
const OVERTOOK: f64 = 3.0;

/// One episode. Instants are seconds, as the controller counts them.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    /// When the refusal that began it came.
    pub(super) since: f64,
    /// When the request left that was refused.
    left: f64,
    /// What was sent per second when it was refused.
    pace: f64,
    /// Requests that left after that one, before its refusal was known, and were served all the same …
    pub(super) passed: u32,
    /// … or refused too.
    pub(super) denied: u32,
    /// Whether a probe was refused.
    pub(super) probe_refused: bool,
}

impl Episode {
    /// A request that left at `left` was refused, while so many a second were sent.
    pub(super) fn begun(left: f64, since: f64, pace: f64) -> Self {
        Self { since, left, pace, passed: 0, denied: 0, probe_refused: false }
    }

    /// A request that left at `sent` was served.
    pub(super) fn served(&mut self, sent: f64) {
        if self.was_on_its_way(sent) {
            self.passed = self.passed.saturating_add(1);
        }
    }

    /// One more was refused that left at `sent`.
    pub(super) fn refused(&mut self, sent: f64) {
        if self.was_on_its_way(sent) {
            self.denied = self.denied.saturating_add(1);
        } else if sent > self.since {
            self.probe_refused = true;
        }
    }

    /// Of an empty stock only what comes in is served: that share of the pace is the rate, at least, in writes per
    /// second. Zero where nothing tells.
    pub(super) fn proved(&self) -> f64 {
        let (passed, denied) = (f64::from(self.passed), f64::from(self.denied));
        self.pace * (passed - OVERTOOK).max(0.0) / (passed + denied).max(1.0)
    }

    /// Whether it left after the refused one, and before that was known.
    fn was_on_its_way(&self, sent: f64) -> bool {
        sent >= self.left && sent <= self.since
    }
}

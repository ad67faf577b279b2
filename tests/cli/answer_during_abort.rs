//! An answer that is there in the moment when everything ends at once is taken: who was served is not sent again.

use std::sync::Arc;

use reprovision::engine::dispatch::{Dispatch, Exchange, ReadRequest, Reads};
use reprovision::graph::{BatchPart, ReadResponse};
use reprovision::model::{Attempt, AttemptResult, Row, UserId};
use reprovision::pace::{Bounds, Pace, RateController};
use reprovision::stop::Stop;
use tokio::sync::Notify;
use url::Url;

/// Whichever of the two is looked at first by chance would lose half of them.
const TIMES: usize = 32;

#[derive(Default)]
struct Held {
    arrived: Notify,
    answered: Notify,
}

impl Held {
    async fn answer(&self) -> Attempt {
        self.arrived.notify_one();
        self.answered.notified().await;
        Attempt::of(AttemptResult::Accepted)
    }

    async fn reading(&self) -> ReadResponse {
        ReadResponse { attempt: self.answer().await, body: Vec::new(), date: None, of_whole: false }
    }
}

/// Answers when it is told to.
struct Late(Arc<Held>);

impl Exchange for Late {
    type Pass = ();

    async fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    async fn send(&self, (): &(), _id: &UserId) -> Attempt {
        self.0.answer().await
    }

    async fn send_batch(&self, (): &(), ids: &[UserId]) -> Vec<BatchPart> {
        vec![BatchPart::Answered(self.0.answer().await); ids.len()]
    }

    fn rejected(&self, _attempt: &Attempt) {}
}

impl Reads for Late {
    async fn get(&self, (): &(), _url: &Url) -> ReadResponse {
        self.0.reading().await
    }

    async fn get_batch(&self, (): &(), paths: &[String]) -> Vec<ReadResponse> {
        vec![self.0.reading().await; paths.len()]
    }
}

fn row(number: u64) -> Row {
    let id = UserId::parse("ann@contoso.com").expect("an id");
    Row { number, line: number + 1, shown: id.as_str().into(), id }
}

/// What a request comes to whose answer and the end of everything come in one moment.
async fn at_the_end<T, F: Future<Output = T>>(
    batch: usize,
    asks: impl Fn(Arc<Dispatch<Late>>) -> F,
) -> Vec<T> {
    let mut all = Vec::new();
    for _ in 0..TIMES {
        let (held, stop) = (Arc::new(Held::default()), Stop::new());
        let pace = Pace::new(RateController::Fixed, Bounds { group: 20, ..Bounds::default() }, None);
        let dispatch = Arc::new(Dispatch::batched(Late(held.clone()), pace, stop.clone(), batch));
        let ends = async {
            held.arrived.notified().await;
            held.answered.notify_one();
            stop.abort(None);
        };
        all.push(tokio::join!(asks(dispatch), ends).0);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn answer_at_the_moment_of_abort_is_recorded() {
    let single = |dispatch: Arc<Dispatch<Late>>| async move { dispatch.attempt(&row(1)).await.is_some() };
    assert_eq!(at_the_end(1, single).await, [true; TIMES]);
    let group = |dispatch: Arc<Dispatch<Late>>| async move {
        let (one, other) = (row(1), row(2));
        let (one, other) = tokio::join!(dispatch.attempt(&one), dispatch.attempt(&other));
        one.is_some() && other.is_some()
    };
    assert_eq!(at_the_end(2, group).await, [true; TIMES]);
    let url = Url::parse("http://127.0.0.1:9/beta/users").expect("a URL");
    let read = |dispatch: Arc<Dispatch<Late>>| {
        let url = url.clone();
        async move { dispatch.get(1, &url).await.is_some() }
    };
    assert_eq!(at_the_end(1, read).await, [true; TIMES]);
    let reads = |dispatch: Arc<Dispatch<Late>>| async move {
        let asked = [1, 2].map(|number| ReadRequest { number, path: format!("/users/{number}") });
        dispatch.get_batch(&asked).await.is_some()
    };
    assert_eq!(at_the_end(1, reads).await, [true; TIMES]);
}

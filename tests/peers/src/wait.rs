//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Long enough for RabbitMQ to start while other tests and compilers leave a tenth of a core.
pub const LONG: Duration = Duration::from_secs(240);

const POLL: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer; `None` after `patience`.
pub async fn within<T>(patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// [`within`] [`LONG`]; panics with the awaited condition.
pub async fn until<T>(awaited: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(LONG, ask)
        .await
        .unwrap_or_else(|| panic!("{awaited}: not within {LONG:?}"))
}

/// Whether a count comes to `wanted`: it has [`LONG`] for each step on its way, so that what comes
/// slowly still comes.
pub async fn reached(wanted: usize, mut count: impl AsyncFnMut() -> usize) -> bool {
    let mut most = 0;
    loop {
        let more = within(LONG, async || {
            let now = count().await;
            (now >= wanted || now > most).then_some(now)
        })
        .await;
        match more {
            Some(now) if now >= wanted => return true,
            Some(now) => most = now,
            None => return false,
        }
    }
}

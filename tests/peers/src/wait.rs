//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Long enough for RabbitMQ to start while both cores are busy with other tests.
pub const LONG: Duration = Duration::from_secs(120);

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

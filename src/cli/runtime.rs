//! The threads that a verb runs on.

/// A runtime with one thread for tasks: a message's way from the socket to the disk wakes no second
/// one. Deliveries have threads of their own.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

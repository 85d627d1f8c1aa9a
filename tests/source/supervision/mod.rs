//! How the source keeps its connection: how often it tries, and how long it waits for what. Ten
//! thousand connections leave nothing behind. Time stands still here but for what a test lets pass;
//! the sockets are real.

mod attempts;
mod lab;
mod lives;
mod server;
mod signins;
mod silence;
mod sockjs;
mod stages;
mod stops;

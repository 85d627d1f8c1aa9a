//! How the source keeps its connection: how often it tries, what it waits for and how long, and
//! that nothing is left of ten thousand lives. Time stands still here but for what a test lets
//! pass; the sockets are real.

mod attempts;
mod lab;
mod lives;
mod server;
mod silence;
mod stages;

//! The status page: server-rendered, English and Chinese, without a request to any other host, and
//! the same data as JSON.
//!
//! - `routes`: which path is what, and the headers of all
//! - `asker`: the language that a request wants; `frame`: what stands around each page, `failure` in
//!   its place
//! - `now`: the first page, made of `regions`; `stream`: what of them changes, twice a second
//! - `dead_letters`, `devices`, `device`, `event`, `topics`: the other pages; `download`: devices for a
//!   spreadsheet; `history`: what they ask of a history; `shapes`, `map`: what is drawn on them
//! - `api`: the data as JSON; `sign_in`: the cookie for readers from elsewhere
//! - `assets`: the style sheet and the script

mod api;
mod asker;
mod assets;
mod dead_letters;
mod device;
mod devices;
mod download;
mod event;
mod failure;
mod frame;
mod history;
mod json_text;
mod map;
mod now;
mod regions;
mod routes;
mod shapes;
mod sign_in;
mod stream;
mod topics;

pub(super) use routes::{PageRoutes, routes};

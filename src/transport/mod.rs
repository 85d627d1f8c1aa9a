//! Bytes to and from a STOMP server: TCP or TLS, plain or under WebSocket or SockJS. Knows nothing
//! of STOMP but that a frame to be sent stays whole where the framing needs it. Spawns nothing,
//! retries nothing.
//!
//! In reading order:
//!
//! - `target`, `peer`: where a connection goes, and what that means; `proxy`: by which way
//! - `connection`: one connection, whatever its framing; `error`: why there is none
//! - `stream`: TCP and TLS; `plain`: STOMP on them as it is; `hangup`: whether an unread one has ended
//! - `upgrade`, `websocket`, `split`: STOMP in WebSocket messages; `reframed`: as bytes
//! - `sockjs`: `/info`, and the first of its transports that works
//! - `exchange`, `http`: one HTTP exchange; `headers`, `cookies`: what goes with every request;
//!   `cookie_date`: the dates in them; `gateway`: an answer of 200 that refuses;
//!   `location`: where a redirect leads to
//! - `survey`: what an attempt has met, for one who asks

mod connection;
mod cookie_date;
mod cookies;
mod error;
mod exchange;
mod gateway;
mod hangup;
mod headers;
mod http;
mod location;
mod peer;
mod plain;
mod proxy;
mod reframed;
mod sockjs;
mod split;
mod stream;
mod survey;
mod target;
mod upgrade;
mod websocket;

pub use connection::{Receiver, Sender, close, dial};
pub use cookies::Jar;
pub use error::{DialError, Stage, TransportError};
pub use exchange::{Answer, Body, Content, Method, Request, exchange};
pub use location::is_login_page;
pub use proxy::Proxies;
pub use survey::{Survey, surveyed};
pub use target::{SockJsTransport, Target};

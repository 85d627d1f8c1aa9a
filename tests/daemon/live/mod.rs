//! The real daemon between real servers: every message exactly once in both histories, at least
//! once at MQTT and the webhook, in order per device, whatever is killed in the middle.

mod bad_input;
mod crashes;
mod faults;
mod frozen;
mod guarantees;
mod histories;
mod lab;
mod links;
mod many;
mod reload;
mod run;
mod secure;
mod sockjs;
mod tap;
mod transports;

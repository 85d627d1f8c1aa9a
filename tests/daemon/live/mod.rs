//! The real daemon between real servers, whatever is killed in the middle. Every message is exactly
//! once in both histories, and at least once at MQTT and the webhook, in order per device.

mod bad_input;
mod bodies;
mod crashes;
mod credit;
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

//! The four sinks against real servers: SQLite files, PostgreSQL, mosquitto and an HTTP receiver.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod asked;
mod backup;
mod bad_input;
mod bodies;
mod by_hand;
mod coverage;
mod events;
mod followed;
mod grafana;
mod history;
mod intervals;
mod keeping;
mod mqtt;
mod mqtt5;
mod mqtt_ways;
mod mqtt_wire;
mod operators;
mod postgres;
mod postgres_around;
mod postgres_partitions;
mod postgres_rights;
mod postgres_upkeep;
mod questions;
mod restored;
mod resync;
mod scale;
mod servers;
mod size;
mod sqlite;
mod webhook;
mod webhook_peers;

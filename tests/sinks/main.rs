//! The four sinks against real servers: SQLite files, PostgreSQL, mosquitto and an HTTP receiver.

mod events;
mod history;
mod mqtt;
mod peers;
mod postgres;
mod sqlite;
mod webhook;

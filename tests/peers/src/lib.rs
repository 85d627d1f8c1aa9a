//! Real peers for tests: The sources are RabbitMQ, ActiveMQ, coilmq, a Spring Boot application and
//! a SockJS endpoint, and nginx in front of them. The others are mosquitto, PostgreSQL, an HTTP receiver, an MQTT subscriber, a
//! STOMP publisher, and the daemon itself. Everything is private to one test process: its ports,
//! its folders and its processes, which end with it however it ends.
//!
//! Nothing here uses the library under test, so that what it says of the daemon is independent of
//! the daemon.

pub mod accounts;
pub mod activemq;
pub mod certificates;
pub mod clock;
pub mod coilmq;
pub mod configuration;
pub mod daemon;
pub mod fault;
pub mod folder;
pub mod history;
pub mod http;
pub mod java;
pub mod message;
pub mod mosquitto;
pub mod nginx;
pub mod platform;
pub mod port;
pub mod portal;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod rabbitmq;
pub mod receiver;
pub mod rewriting;
pub mod scenario;
pub mod scripted;
pub mod sockjs;
pub mod source;
pub mod spring;
pub mod stomp;
pub mod subscriber;
pub mod wait;

pub use activemq::ActiveMq;
pub use clock::Clock;
pub use coilmq::CoilMq;
pub use configuration::Configuration;
pub use daemon::Daemon;
pub use fault::FaultProxy;
pub use folder::Folder;
pub use mosquitto::Mosquitto;
pub use nginx::Nginx;
pub use platform::Delivered;
pub use portal::Portal;
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use rabbitmq::RabbitMq;
pub use receiver::Receiver;
pub use rewriting::RewritingProxy;
pub use scenario::Scenario;
pub use scripted::Scripted;
pub use sockjs::SockJs;
pub use spring::Spring;
pub use stomp::Stomp;
pub use subscriber::Subscriber;

/// User of every peer that has users.
pub const USER: &str = "lab";

/// Password of [`USER`].
pub const PASSWORD: &str = "lab-password";

//! The real daemon and the other servers that people have: ActiveMQ, coilmq, and Spring's simple
//! broker in a Boot application, also behind nginx. What comes in is the question, so a SQLite history is the only
//! sink; `live` has the others, and RabbitMQ; here is what RabbitMQ refuses.

mod activemq;
mod activemq_secure;
mod coilmq;
mod nginx;
mod rabbitmq;
mod spring;
mod spring_refuses;
mod spring_relay;
mod spring_resync;
mod spring_send;
mod spring_signin;
mod spring_troubles;

/// How long a log line says that the next attempt is waited for.
fn retry_in_ms(line: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    line["retry_in_ms"].as_u64()
}

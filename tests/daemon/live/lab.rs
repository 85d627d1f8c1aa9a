//! The servers that the scenarios share; a scenario that breaks one brings its own.

use tokio::sync::OnceCell;

use peers::{Mosquitto, Postgres, RabbitMq, SockJs, port};

/// One of each. They end with the test process.
pub(crate) struct Lab {
    pub(crate) rabbitmq: RabbitMq,
    pub(crate) sockjs: SockJs,
    pub(crate) mosquitto: Mosquitto,
    pub(crate) postgres: Postgres,
}

static LAB: OnceCell<Lab> = OnceCell::const_new();

/// Starts them with the first scenario.
pub(crate) async fn lab() -> &'static Lab {
    LAB.get_or_init(async || {
        // Nobody kills this mosquitto. One that is to survive that saves all it has at each change,
        // which is more and more.
        let mosquitto = Mosquitto::start_forgetful_on(port::free());
        let (rabbitmq, mosquitto, postgres) =
            tokio::join!(RabbitMq::start(), mosquitto, Postgres::start());
        let sockjs = SockJs::start(rabbitmq.stomp_port()).await;
        Lab {
            rabbitmq,
            sockjs,
            mosquitto,
            postgres,
        }
    })
    .await
}

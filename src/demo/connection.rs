//! One client's connected life: reads its frames, writes its mail, keeps the heart-beats of both
//! directions. Reading and writing never wait for each other.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::framing::{FRAME_BYTES_MAX, Farewell, Receiver, Sender};
use super::hub::{Hub, Mail, Mailbox};
use super::message::Message;
use super::session::{Answer, Session, Step, refuse};
use crate::duration::InWords;
use crate::stomp::{Command, Decoder, FrameWriter, HEARTBEAT, Limits, Version, encode};

/// CONNECT must come within this time, as with RabbitMQ.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other half may take to end once one half has, and an overfull client to read its
/// ERROR.
const GRACE: Duration = Duration::from_secs(1);
/// SockJS's own heart-beat (SockJS protocol 0.3.3, "Framing"), where STOMP has none to send.
const SOCKJS_KEEP_ALIVE: Duration = Duration::from_secs(25);
/// We send at this part of the interval, so that a little delay on the way is no missed beat
/// (percent).
const SEND_AT_PERCENT: u32 = 60;
/// How many of its heart-beat intervals a client may be silent (STOMP 1.2, section Heart-beating:
/// allow for a margin).
const MISSED_MAX: u32 = 2;

/// What a connection needs of the broker.
pub(super) struct Client {
    /// Unique in this broker.
    pub(super) id: u64,
    /// See [`Session::new`].
    pub(super) heartbeat: Duration,
    pub(super) hub: Arc<Hub>,
}

/// Until the client, or its misbehaviour, ends it.
pub(super) async fn serve(client: Client, receiver: Receiver, sender: Sender) {
    let Client { id, heartbeat, hub } = client;
    let (mailbox, mail, overflow) = Mailbox::new(id);
    let _left = Leave {
        client: id,
        hub: hub.clone(),
    };
    let reader = Reader {
        receiver,
        decoder: Decoder::new(Limits {
            frame_bytes_max: FRAME_BYTES_MAX,
            ..Limits::default()
        }),
        session: Session::new(format!("session-{id}"), heartbeat),
        hub,
        mailbox,
        silence_max: Some(CONNECT_TIMEOUT),
    };
    let writer = Writer {
        sender,
        client: id,
        mail,
        // An ERROR before CONNECTED is what every client can read.
        version: Version::V1_0,
        send_every: None,
        delivered: 0,
        overflow: overflow.clone(),
    };

    let both = async {
        match select(pin!(reader.run()), pin!(writer.run())).await {
            Either::Left(((), writing)) => timeout(GRACE, writing).await.unwrap_or(()),
            Either::Right(((), reading)) => timeout(GRACE, reading).await.unwrap_or(()),
        }
    };
    let given_up = async {
        overflow.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        () = both => {}
        () = given_up => {}
    }
    debug!(client = id, "client gone");
}

/// Ends the client's subscriptions, also when the connection's future is dropped.
struct Leave {
    client: u64,
    hub: Arc<Hub>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.hub.leave(self.client);
    }
}

struct Reader {
    receiver: Receiver,
    decoder: Decoder,
    session: Session,
    hub: Arc<Hub>,
    mailbox: Mailbox,
    /// Longest time without a byte: before CONNECTED until CONNECT, then by the heart-beats.
    /// `None`: any.
    silence_max: Option<Duration>,
}

/// Whether a client may say more.
#[derive(Debug, PartialEq, Eq)]
enum Talk {
    GoesOn,
    Over,
}

impl Reader {
    /// Until the client closes. The messages in its mailbox are still written then.
    async fn run(mut self) {
        let mut heard = Instant::now();
        loop {
            let talk = tokio::select! {
                piece = self.receiver.receive() => match piece {
                    Ok(Some(bytes)) => {
                        heard = Instant::now();
                        self.decoder.feed(bytes);
                        self.take_frames()
                    }
                    Ok(None) => return self.hub.leave(self.mailbox.client),
                    Err(error) => self.answer(refuse(&error.to_string(), None)),
                },
                silence = silence(heard, self.silence_max) => {
                    let why = format!("nothing was heard for {}", InWords(silence));
                    self.answer(refuse(&why, None))
                }
            };
            if talk == Talk::Over {
                return self.drain().await;
            }
        }
    }

    /// Every frame that is whole.
    fn take_frames(&mut self) -> Talk {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => {
                    for step in self.session.on_frame(&frame) {
                        if self.follow(step) == Talk::Over {
                            return Talk::Over;
                        }
                    }
                }
                Ok(None) => return Talk::GoesOn,
                Err(error) => return self.answer(refuse(&error.to_string(), None)),
            }
        }
    }

    fn follow(&mut self, step: Step) -> Talk {
        match step {
            Step::Answer(answer) => return self.answer(answer),
            Step::Subscribe {
                id,
                destination,
                acknowledged,
            } => {
                self.hub
                    .subscribe(destination, id, acknowledged, self.mailbox.clone());
            }
            Step::Unsubscribe { id } => self.hub.unsubscribe(self.mailbox.client, &id),
            Step::Publish(message) => {
                self.hub.publish(message);
            }
        }
        Talk::GoesOn
    }

    fn answer(&mut self, answer: Answer) -> Talk {
        let talk = match &answer {
            Answer::Connected(_, terms) => {
                self.decoder.set_version(terms.version);
                self.silence_max = terms.expect_every.map(|every| every * MISSED_MAX);
                Talk::GoesOn
            }
            Answer::Receipt(_) => Talk::GoesOn,
            Answer::Goodbye(_) | Answer::Error(_) => {
                self.hub.leave(self.mailbox.client);
                Talk::Over
            }
        };
        self.mailbox.post(Mail::Answer(answer));
        talk
    }

    /// Reads what still comes, for a while: a socket that is closed with bytes unread is reset, and
    /// the reset may overtake our last frame.
    async fn drain(mut self) {
        let closed = async { while let Ok(Some(_)) = self.receiver.receive().await {} };
        timeout(GRACE, closed).await.unwrap_or(());
    }
}

/// Comes when a client has been silent for too long, and says for how long.
async fn silence(heard: Instant, max: Option<Duration>) -> Duration {
    match max {
        Some(max) => {
            sleep_until(heard + max).await;
            max
        }
        None => std::future::pending().await,
    }
}

struct Writer {
    sender: Sender,
    client: u64,
    mail: mpsc::Receiver<Mail>,
    version: Version,
    /// What we promised; `None`: no heart-beats.
    send_every: Option<Duration>,
    /// MESSAGE frames so far.
    delivered: u64,
    overflow: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        if let Err(error) = self.write().await {
            debug!(%error, client = self.client, "writing failed");
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        let mut buffer = BytesMut::new();
        let mut written = Instant::now();
        loop {
            let quiet_max = self
                .send_every
                .map_or(SOCKJS_KEEP_ALIVE, |every| every * SEND_AT_PERCENT / 100);
            let mail = tokio::select! {
                biased;
                () = self.overflow.cancelled() => Some(Mail::Answer(refuse("too slow: the queue is full", None))),
                mail = self.mail.recv() => mail,
                () = sleep_until(written + quiet_max) => {
                    self.beat().await?;
                    written = Instant::now();
                    continue;
                }
            };
            let Some(mail) = mail else {
                return self.sender.close(Farewell::Done).await;
            };
            let farewell = self.render(mail, &mut buffer);
            if !buffer.is_empty() {
                self.sender.send(buffer.split().freeze()).await?;
                written = Instant::now();
            }
            if let Some(farewell) = farewell {
                return self.sender.close(farewell).await;
            }
        }
    }

    async fn beat(&mut self) -> io::Result<()> {
        match self.send_every {
            Some(_) => self.sender.send(Bytes::from_static(&[HEARTBEAT])).await,
            None => self.sender.keep_alive().await,
        }
    }

    /// The mail as one frame, and whether it is the last.
    fn render(&mut self, mail: Mail, out: &mut BytesMut) -> Option<Farewell> {
        let (frame, farewell) = match mail {
            Mail::Delivery {
                subscription,
                acknowledged,
                message,
            } => {
                self.deliver(&subscription, acknowledged, &message, out);
                return None;
            }
            Mail::Answer(Answer::Connected(frame, terms)) => {
                self.version = terms.version;
                self.send_every = terms.send_every;
                (Some(frame), None)
            }
            Mail::Answer(Answer::Receipt(frame)) => (Some(frame), None),
            Mail::Answer(Answer::Goodbye(frame)) => (frame, Some(Farewell::Done)),
            Mail::Answer(Answer::Error(frame)) => (Some(frame), Some(Farewell::Error)),
        };
        if let Some(frame) = frame {
            encode(&frame, self.version, out);
        }
        farewell
    }

    /// STOMP 1.2, section MESSAGE: `ack` stands only where an acknowledgement is asked for.
    fn deliver(
        &mut self,
        subscription: &str,
        acknowledged: bool,
        message: &Message,
        out: &mut BytesMut,
    ) {
        self.delivered += 1;
        let id = format!("{}-{}", self.client, self.delivered);
        let mut frame = FrameWriter::new(out, Command::Message, self.version)
            .header("destination", &message.destination)
            .header("subscription", subscription)
            .header("message-id", &id);
        if acknowledged && self.version == Version::V1_2 {
            frame = frame.header("ack", &id);
        }
        for (name, value) in &message.headers {
            frame = frame.header(name, value);
        }
        frame.body(&message.body);
    }
}

//! A small STOMP 1.2 client over TCP for tests: it publishes with confirms by receipts, and
//! subscribes. Written apart from the library's codec, so that a mistake there does not cancel
//! itself out here.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PASSWORD, USER, wait};

/// Of a server on this machine, as in a configuration: STOMP over TCP.
pub fn url(port: u16) -> String {
    format!("stomp://127.0.0.1:{port}")
}

/// How many SENDs may wait for their receipts.
const WINDOW: usize = 200;

/// A server that says nothing for this long has failed the test.
const PATIENCE: Duration = wait::LONG;

/// A frame as received; header values unescaped, the first of each name wins.
#[derive(Debug)]
pub struct Frame {
    /// `MESSAGE`, `RECEIPT`, ….
    pub command: String,
    /// In the order received.
    pub headers: Vec<(String, String)>,
    /// Without the NUL.
    pub body: Vec<u8>,
}

impl Frame {
    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }
}

/// One connection.
pub struct Stomp {
    stream: BufReader<TcpStream>,
    unconfirmed: VecDeque<String>,
    sent: u64,
    received: u64,
    lengths: Lengths,
}

/// Whether a SEND says how long its body is. To ActiveMQ that makes it a message of bytes,
/// otherwise of text, which comes out without a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// It does.
    Said,
    /// It does not.
    Unsaid,
}

impl Stomp {
    /// Connects to a server on loopback and signs in.
    pub async fn connect(port: u16) -> Stomp {
        Stomp::connect_with(port, "host:/\n").await
    }

    /// The same with headers of CONNECT, each with its line end, `host` among them.
    pub async fn connect_with(port: u16, headers: &str) -> Stomp {
        Stomp::try_connect(port, headers)
            .await
            .unwrap_or_else(|e| panic!("connect to STOMP on port {port}: {e}"))
    }

    /// From now on bodies are sent so.
    pub fn with(mut self, lengths: Lengths) -> Stomp {
        self.lengths = lengths;
        self
    }

    async fn try_connect(port: u16, headers: &str) -> io::Result<Stomp> {
        let stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
        let mut stomp = Stomp {
            stream,
            unconfirmed: VecDeque::new(),
            sent: 0,
            received: 0,
            lengths: Lengths::Said,
        };
        let connect = format!(
            "CONNECT\naccept-version:1.2\n{headers}heart-beat:0,0\nlogin:{USER}\npasscode:{PASSWORD}\n\n\0"
        );
        stomp.stream.write_all(connect.as_bytes()).await?;
        let answer = stomp.read().await?;
        assert_eq!(answer.command, "CONNECTED", "{answer:?}");
        Ok(stomp)
    }

    /// Sends persistent messages and returns once the server has confirmed every one of them.
    pub async fn publish<B: AsRef<[u8]>>(
        &mut self,
        destination: &str,
        bodies: impl IntoIterator<Item = B>,
    ) {
        self.publish_with(destination, "", bodies).await;
    }

    /// The same with further headers, each with its line end.
    pub async fn publish_with<B: AsRef<[u8]>>(
        &mut self,
        destination: &str,
        headers: &str,
        bodies: impl IntoIterator<Item = B>,
    ) {
        for body in bodies {
            self.send(destination, headers, body.as_ref()).await;
            while self.unconfirmed.len() >= WINDOW {
                self.confirm_one().await;
            }
        }
        while !self.unconfirmed.is_empty() {
            self.confirm_one().await;
        }
    }

    async fn send(&mut self, destination: &str, headers: &str, body: &[u8]) {
        self.sent += 1;
        let receipt = format!("s{}", self.sent);
        let length = match self.lengths {
            Lengths::Said => format!("content-length:{}\n", body.len()),
            Lengths::Unsaid => String::new(),
        };
        let kind = match headers.contains("content-type:") {
            true => "",
            false => "content-type:application/json\n",
        };
        let mut frame = format!(
            "SEND\ndestination:{destination}\npersistent:true\n{kind}{length}{headers}\
             receipt:{receipt}\n\n"
        )
        .into_bytes();
        frame.extend_from_slice(body);
        frame.push(0);
        self.stream.write_all(&frame).await.expect("write SEND");
        self.unconfirmed.push_back(receipt);
    }

    /// Receipts have no order (STOMP 1.2, section RECEIPT, speaks of one frame alone).
    async fn confirm_one(&mut self) {
        let frame = self.receive().await;
        assert_eq!(frame.command, "RECEIPT", "{frame:?}");
        let receipt = frame.header("receipt-id");
        let known = self
            .unconfirmed
            .iter()
            .position(|waiting| waiting == receipt);
        self.unconfirmed
            .remove(known.expect("a receipt that was asked for"));
    }

    /// Subscribes as `client-individual` and acknowledges nothing.
    pub async fn subscribe(&mut self, destination: &str) {
        self.subscribe_with(destination, "").await;
    }

    /// The same with further headers, each with its line end.
    pub async fn subscribe_with(&mut self, destination: &str, headers: &str) {
        let frame = format!(
            "SUBSCRIBE\nid:0\ndestination:{destination}\nack:client-individual\n{headers}\n\0"
        );
        self.stream
            .write_all(frame.as_bytes())
            .await
            .expect("write SUBSCRIBE");
    }

    /// The next frame.
    pub async fn receive(&mut self) -> Frame {
        let frame = self.read().await;
        self.received += 1;
        frame.unwrap_or_else(|error| panic!("frame {} on this connection: {error}", self.received))
    }

    async fn read(&mut self) -> io::Result<Frame> {
        timeout(PATIENCE, self.read_frame())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn read_frame(&mut self) -> io::Result<Frame> {
        let mut command = String::new();
        while command.is_empty() {
            command = self.line().await?;
        }
        let mut frame = Frame {
            command,
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            frame.headers.push((unescape(name), unescape(value)));
        }
        match frame.header("content-length").parse::<usize>() {
            Ok(length) => {
                frame.body.resize(length, 0);
                self.stream.read_exact(&mut frame.body).await?;
                let end = self.stream.read_u8().await?;
                assert_eq!(end, 0, "the byte after {length} bytes of body");
            }
            Err(_) => {
                self.stream.read_until(0, &mut frame.body).await?;
                frame.body.pop();
            }
        }
        Ok(frame)
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

/// Panics unless a queue of a server on loopback holds nothing, sent or unsent: then the next
/// message published to it comes out first.
pub async fn assert_drained(port: u16, queue: &str) {
    let destination = format!("/queue/{queue}");
    let mut client = Stomp::connect(port).await;
    client.publish(&destination, ["the last"]).await;
    client.subscribe(&destination).await;
    let first = client.receive().await;
    assert_eq!(
        first.body,
        b"the last",
        "{queue} still held {}",
        String::from_utf8_lossy(&first.body)
    );
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('c') => ':',
                Some('\\') => '\\',
                other => panic!("escape {other:?} in {text:?}"),
            },
            plain => plain,
        });
    }
    plain
}

//! SockJS without WebSocket. Frames come in the answer to a POST: a long answer (xhr_streaming), or
//! one for each poll (xhr). Frames go out in a POST of their own (xhr_send). Never two receiving
//! requests at once.

use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;
use reqwest::Response;
use tokio::time::sleep_until;
use url::Url;

use super::frame::{self, Frame, LongFrame};
use super::http::{Http, refusal};
use super::info::below;
use crate::transport::error::{DialError, Stage, TransportError};
use crate::transport::http;
use crate::transport::peer::Peer;
use crate::transport::target::Target;

/// How the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Many frames an answer, until it is as long as the server likes (128 KiB mostly).
    Streaming,
    /// One frame an answer.
    Polling,
}

pub(in crate::transport) struct Receiver {
    http: Http,
    url: Url,
    mode: Mode,
    frame_bytes_max: usize,
    exchange: Exchange,
    /// There is nothing more to come. The answer stays as it is, unread: to drop it would end the
    /// session, with the frames still to be sent.
    over: bool,
    buffer: BytesMut,
    /// So much of the buffer is known to hold no line end.
    searched: usize,
    /// A frame whose end has not come.
    long: Option<LongFrame>,
    answer: Answer,
    /// What has ended the session, as it was seen while nobody read: it comes behind `buffer`.
    failed: Option<TransportError>,
    /// Answers in a row without a frame that came at once.
    empty_answers: u32,
    asked_at: Instant,
}

/// More empty answers in a row end the session.
const EMPTY_ANSWERS_MAX: u32 = 3;

/// More than this is not read ahead: an answer of the usual 128 KiB, and the next one.
const AHEAD_BYTES_MAX: usize = 256 * 1024;

/// An empty answer that took this time is no loop.
const EMPTY_ANSWER_MIN: Duration = Duration::from_secs(1);

/// The one receiving request.
enum Exchange {
    None,
    Asked(Pin<Box<dyn Future<Output = Result<Response, reqwest::Error>> + Send>>),
    Answered(Response),
}

/// What the current answer has brought.
#[derive(PartialEq, Eq)]
enum Answer {
    Nothing,
    Frames,
}

pub(in crate::transport) struct Sender {
    http: Http,
    url: Url,
    timeout: Duration,
}

/// Begins a session: the first request is answered by 200, and `o` is its first frame, which is
/// left to be read.
pub(super) async fn dial(
    target: &Target,
    http: &Http,
    peer: &Peer,
    session: &Url,
    mode: Mode,
) -> Result<(Receiver, Sender), DialError> {
    let url = below(
        session,
        match mode {
            Mode::Streaming => "xhr_streaming",
            Mode::Polling => "xhr",
        },
    );
    let answer = http.post(&url, String::new(), None).await;
    let answer = answer.map_err(|error| http::dial_error(peer, Stage::Open, &error))?;
    if answer.status() != 200 {
        return Err(refusal(&url, answer).await);
    }
    let receiver = Receiver {
        http: http.clone(),
        url,
        mode,
        frame_bytes_max: target.message_bytes_max,
        exchange: Exchange::Answered(answer),
        over: false,
        buffer: BytesMut::new(),
        searched: 0,
        long: None,
        answer: Answer::Nothing,
        failed: None,
        empty_answers: 0,
        asked_at: Instant::now(),
    };
    let sender = Sender {
        http: http.clone(),
        url: below(session, "xhr_send"),
        timeout: target.timeout,
    };
    Ok((receiver, sender))
}

impl Receiver {
    /// The next frame. Cancel-safe: a pending request is kept here.
    pub(super) async fn frame(&mut self) -> Result<Frame, TransportError> {
        if self.over {
            return Err(TransportError::closed("it is closed already"));
        }
        let frame = self.next_frame().await;
        self.over = matches!(frame, Err(_) | Ok(Frame::Close { .. }));
        frame
    }

    async fn next_frame(&mut self) -> Result<Frame, TransportError> {
        loop {
            if let Some(line) = self.line() {
                if let Some(frame) = self.long.take() {
                    let payload = frame.end(&line).map_err(TransportError::Protocol)?;
                    return Ok(Frame::Payload(payload));
                }
                if self.mode == Mode::Streaming && is_prelude(&line) {
                    return Ok(Frame::Payload(Bytes::new()));
                }
                self.answer = Answer::Frames;
                self.empty_answers = 0;
                return frame::decode(&line).map_err(|mistake| TransportError::protocol(&mistake));
            }
            if let Some(payload) = self.part_of_line()? {
                return Ok(Frame::Payload(payload));
            }
            if let Some(failed) = self.failed.take() {
                return Err(failed);
            }
            self.advance().await?;
        }
    }

    /// One step of the receiving request. Cancel-safe.
    async fn advance(&mut self) -> Result<(), TransportError> {
        match &mut self.exchange {
            Exchange::None => {
                let (http, url) = (self.http.clone(), self.url.clone());
                self.asked_at = Instant::now();
                self.exchange = Exchange::Asked(Box::pin(async move {
                    http.post(&url, String::new(), None).await
                }));
            }
            Exchange::Asked(answer) => {
                let answer = answer.await.map_err(lost)?;
                if answer.status() != 200 {
                    return Err(unexpected(answer.status().as_u16()));
                }
                self.answer = Answer::Nothing;
                self.exchange = Exchange::Answered(answer);
            }
            Exchange::Answered(answer) => match answer.chunk().await.map_err(lost)? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => self.end_of_answer()?,
            },
        }
        Ok(())
    }

    /// Waits until the session has ended, and gives no frame. It reads ahead for that, as far as
    /// [`AHEAD_BYTES_MAX`]: the socket is the HTTP client's, and shows its end to who reads. It also
    /// asks for the next answer, without which the server would end the session within seconds.
    pub(super) async fn ended(&mut self) {
        while !self.over && self.failed.is_none() && !self.has_close() {
            if self.buffer.len() >= AHEAD_BYTES_MAX {
                return std::future::pending().await;
            }
            if matches!(self.exchange, Exchange::None) {
                // Nobody takes the frames: to be asked as fast as the network is no use.
                sleep_until((self.asked_at + EMPTY_ANSWER_MIN).into()).await;
            }
            if let Err(error) = self.advance().await {
                self.failed = Some(error);
            }
        }
    }

    /// Whether the server's close is among what was read ahead: a line feed ends a frame and is in
    /// none.
    fn has_close(&self) -> bool {
        self.long.is_none() && self.buffer.starts_with(b"c[")
            || memmem::find(&self.buffer, b"\nc[").is_some()
    }

    /// The next whole line of the answer, without its end.
    fn line(&mut self) -> Option<BytesMut> {
        let end = memchr::memchr(b'\n', &self.buffer[self.searched..]);
        let Some(end) = end.map(|end| self.searched + end) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let mut line = self.buffer.split_to(end);
        self.buffer.advance(1);
        // Some servers end lines as HTTP does.
        if line.ends_with(b"\r") {
            line.truncate(end - 1);
        }
        Some(line)
    }

    /// A line that is too long to be held is a frame that is read in pieces.
    fn part_of_line(&mut self) -> Result<Option<Bytes>, TransportError> {
        let (bytes, bytes_max) = (self.buffer.len(), self.frame_bytes_max);
        if bytes <= bytes_max.max(PRELUDE_BYTES) {
            return Ok(None);
        }
        let piece = self.buffer.split();
        self.searched = 0;
        let (frame, payload) = match self.long.take() {
            Some(mut frame) => {
                let payload = frame.read(&piece).map_err(TransportError::Protocol)?;
                (frame, payload)
            }
            None => LongFrame::begin(&piece)
                .ok_or(TransportError::Limit { bytes, bytes_max })?
                .map_err(TransportError::Protocol)?,
        };
        self.long = Some(frame);
        (self.answer, self.empty_answers) = (Answer::Frames, 0);
        Ok(Some(payload))
    }

    /// The server ends each answer some time. The next request goes out at once, well within the
    /// few seconds after which the server would end the session.
    fn end_of_answer(&mut self) -> Result<(), TransportError> {
        let cut = self.long.is_some() || !self.buffer.is_empty();
        if cut && !self.buffer.ends_with(b"\n") {
            if self.mode == Mode::Streaming {
                return Err(TransportError::Protocol(
                    "an answer ended in the middle of a frame".to_owned(),
                ));
            }
            // Some servers leave the line end out where there is only one line.
            self.buffer.extend_from_slice(b"\n");
            return Ok(());
        }
        if self.answer == Answer::Nothing && self.buffer.is_empty() {
            // One that took its time was cut by a proxy. Else this is a loop as fast as the
            // network.
            self.empty_answers = match self.asked_at.elapsed() {
                took if took >= EMPTY_ANSWER_MIN => 0,
                _ => self.empty_answers + 1,
            };
            if self.empty_answers > EMPTY_ANSWERS_MAX {
                return Err(TransportError::Protocol(format!(
                    "{} answers in a row without a frame; a proxy may have cut them",
                    self.empty_answers
                )));
            }
        }
        self.exchange = Exchange::None;
        Ok(())
    }
}

/// 2048 times `h`, so that browsers and proxies stop buffering (sockjs-protocol 0.3.3, section "XHR
/// streaming").
const PRELUDE_BYTES: usize = 2048;

fn is_prelude(line: &[u8]) -> bool {
    line.len() > 1 && line.iter().all(|byte| *byte == b'h')
}

impl Sender {
    /// Sends all of it as one request, and waits until the server has taken it.
    pub(super) async fn send(&mut self, texts: Vec<&str>) -> Result<(), TransportError> {
        let body = frame::encode(texts);
        let answer = self
            .http
            .post(&self.url, body, Some(self.timeout))
            .await
            .map_err(lost)?;
        // The protocol says 204; pages' clients accept 200, too.
        if !answer.status().is_success() {
            return Err(unexpected(answer.status().as_u16()));
        }
        // Read to its end, the connection can be used again.
        answer.bytes().await.map(drop).map_err(lost)
    }
}

fn unexpected(status: u16) -> TransportError {
    match status {
        404 => TransportError::closed("the SockJS session is gone (404)"),
        status => TransportError::Answered { status },
    }
}

fn lost(error: reqwest::Error) -> TransportError {
    let kind = if error.is_timeout() {
        io::ErrorKind::TimedOut
    } else {
        io::ErrorKind::Other
    };
    TransportError::Io(io::Error::new(kind, http::text_of(&error)))
}

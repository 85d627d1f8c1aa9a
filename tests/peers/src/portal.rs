//! A device platform's portal for tests. Its sign-in gives a new token, code and cookie each time.
//! Behind it are a SockJS endpoint (`/ws`) and a raw one (`/raw`) with enough STOMP for one
//! subscription. It says all that it was asked, in order.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::wait;

/// Something that the portal was asked.
#[derive(Debug)]
pub struct Call {
    /// `POST /api/login`, or a STOMP frame's command.
    pub what: String,
    /// The rest of it: an HTTP request's query, headers and body, or a frame's headers.
    pub text: String,
}

/// An answer to a sign-in: status line, further header lines, and body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Code and reason, such as `200 OK`.
    pub status: &'static str,
    /// Each with its CR LF.
    pub headers: String,
    /// As it is sent.
    pub body: String,
}

/// What happens to a session once it is subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// One message, and then the portal hangs up.
    Dropped,
    /// One message, and it stays.
    Stays,
    /// An ERROR that repeats the destination.
    Refused,
}

/// A running portal.
pub struct Portal {
    port: u16,
    calls: mpsc::UnboundedReceiver<Call>,
    server: JoinHandle<()>,
}

struct Script {
    logins: usize,
    /// In place of the usual answers, as long as there are some.
    answers: VecDeque<Answer>,
    /// What is answered at these places, each `METHOD /path`.
    places: Vec<(&'static str, Answer)>,
    /// The last is for all that follow.
    sessions: VecDeque<Session>,
}

/// One that the portal gives with the n-th sign-in, from 1.
pub fn token(number: usize) -> String {
    format!("t0ken/{number}+=")
}

/// Likewise.
pub fn code(number: usize) -> String {
    format!("c0de-{number}")
}

/// Likewise.
pub fn cookie(number: usize) -> String {
    format!("SESSION=c00kie-{number}")
}

impl Portal {
    /// Answers the first sign-ins by `answers` and all others as promised. Gives each session the
    /// next of `sessions`, and the last to all that follow.
    pub async fn start(answers: Vec<Answer>, sessions: Vec<Session>) -> Portal {
        Portal::start_with(answers, sessions, Vec::new()).await
    }

    /// The same with further places, each `METHOD /path`, which always answer so.
    pub async fn start_with(
        answers: Vec<Answer>,
        sessions: Vec<Session>,
        places: Vec<(&'static str, Answer)>,
    ) -> Portal {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let (told, calls) = mpsc::unbounded_channel();
        let script = Script {
            logins: 0,
            answers: answers.into(),
            places,
            sessions: sessions.into(),
        };
        let script = Arc::new(Mutex::new(script));
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept a connection");
                // A client that leaves early is no failure of the portal's.
                tokio::spawn(serve(stream, Arc::clone(&script), told.clone()));
            }
        });
        Portal {
            port,
            calls,
            server,
        }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The next thing that it is asked, which must be this.
    pub async fn next(&mut self, what: &str) -> Call {
        let call = tokio::time::timeout(wait::LONG, self.calls.recv()).await;
        let call = call
            .unwrap_or_else(|_| panic!("{what} has not come"))
            .expect("the portal runs");
        assert!(
            call.what.starts_with(what),
            "{what} was to come, and not {call:?}"
        );
        call
    }

    /// What has come and was not asked for yet.
    pub fn unread(&mut self) -> Option<Call> {
        self.calls.try_recv().ok()
    }
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Told = mpsc::UnboundedSender<Call>;

fn tell(told: &Told, what: &str, text: &str) {
    // The test may have ended.
    let _ = told.send(Call {
        what: what.to_owned(),
        text: text.to_owned(),
    });
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>, told: Told) -> io::Result<()> {
    while let Some((line, rest)) = read_request(&mut stream).await? {
        let (method, target) = line.split_once(' ').unwrap_or_default();
        let path = target.split(['?', ' ']).next().unwrap_or_default();
        tell(
            &told,
            &format!("{method} {path}"),
            &format!("{target}\n{rest}"),
        );
        if path.ends_with("/websocket") || path == "/raw" {
            let key = rest
                .lines()
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
                .unwrap_or_default();
            let accept = derive_accept_key(key.as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            let framing = if path == "/raw" {
                Framing::Raw
            } else {
                Framing::SockJs
            };
            let session = {
                let mut script = script.lock().expect("no test panics in here");
                if script.sessions.len() > 1 {
                    script.sessions.pop_front()
                } else {
                    script.sessions.front().copied()
                }
            };
            let _ = Stomp {
                socket,
                framing,
                told,
            }
            .live(session.unwrap_or(Session::Stays))
            .await;
            return Ok(());
        }
        let place = place(&script, &format!("{method} {path}"));
        let Answer {
            status,
            headers,
            body,
        } = place.unwrap_or_else(|| match path {
            "/api/login" => login(&script),
            "/ws/info" => Answer {
                status: "200 OK",
                headers: String::new(),
                body: r#"{"websocket":true,"origins":["*:*"],"cookie_needed":true,"entropy":1}"#
                    .to_owned(),
            },
            _ => Answer {
                status: "404 Not Found",
                headers: String::new(),
                body: String::new(),
            },
        });
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

fn place(script: &Mutex<Script>, wanted: &str) -> Option<Answer> {
    let script = script.lock().expect("no test panics in here");
    let mut places = script.places.iter();
    let (_, answer) = places.find(|(place, _)| *place == wanted)?;
    Some(answer.clone())
}

fn login(script: &Mutex<Script>) -> Answer {
    let mut script = script.lock().expect("no test panics in here");
    script.logins += 1;
    let number = script.logins;
    script.answers.pop_front().unwrap_or_else(|| Answer {
        status: "200 OK",
        headers: format!("Set-Cookie: {}; Path=/; HttpOnly\r\n", cookie(number)),
        body: format!(
            r#"{{"code":200,"data":{{"token":"{}","socketCode":"{}","number":{number}}}}}"#,
            token(number),
            code(number)
        ),
    })
}

/// The request's first line without its version, and what follows it.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<(String, String)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = head.split_once("\r\n").unwrap_or_default();
    let length = headers.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let text = format!("{headers}{}", String::from_utf8_lossy(&body)).replace("\r\n", "\n");
    Ok(Some((line.trim_end_matches(" HTTP/1.1").to_owned(), text)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Raw,
    SockJs,
}

struct Stomp {
    socket: WebSocketStream<TcpStream>,
    framing: Framing,
    told: Told,
}

impl Stomp {
    async fn live(mut self, session: Session) -> Option<()> {
        if self.framing == Framing::SockJs {
            self.socket.send(Message::text("o")).await.ok()?;
        }
        loop {
            for frame in self.receive().await? {
                let (command, headers) = frame.split_once('\n').unwrap_or((&frame, ""));
                if command.is_empty() {
                    continue;
                }
                tell(&self.told, command, &format!("{headers}\n"));
                match command {
                    "CONNECT" => {
                        self.send("CONNECTED\nversion:1.2\nheart-beat:0,0\nserver:Portal/1\n\n")
                            .await?
                    }
                    "SUBSCRIBE" => self.subscribed(headers, session).await?,
                    "SEND" | "DISCONNECT" => {
                        if let Some(receipt) = header(headers, "receipt") {
                            self.send(&format!("RECEIPT\nreceipt-id:{receipt}\n\n"))
                                .await?;
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    async fn subscribed(&mut self, headers: &str, session: Session) -> Option<()> {
        let (id, destination) = (header(headers, "id")?, header(headers, "destination")?);
        if session == Session::Refused {
            return self
                .send(&format!(
                    "ERROR\nmessage:denied\n\nno access to {destination}"
                ))
                .await;
        }
        self.send(&format!(
            "RECEIPT\nreceipt-id:{}\n\n",
            header(headers, "receipt")?
        ))
        .await?;
        let body = r#"{"clientId":1,"deviceId":7,"oldState":"正常","newState":"故障"}"#;
        self.send(&format!(
            "MESSAGE\nsubscription:{id}\ndestination:{destination}\nmessage-id:1\n\n{body}"
        ))
        .await?;
        (session == Session::Stays).then_some(())
    }

    async fn receive(&mut self) -> Option<Vec<String>> {
        loop {
            let Message::Text(text) = self.socket.next().await?.ok()? else {
                continue;
            };
            let frames = match self.framing {
                Framing::Raw => vec![text.to_string()],
                Framing::SockJs => serde_json::from_str(&text).ok()?,
            };
            return Some(
                frames
                    .into_iter()
                    .map(|frame| frame.trim_matches(['\n', '\0']).to_owned())
                    .collect(),
            );
        }
    }

    async fn send(&mut self, frame: &str) -> Option<()> {
        let frame = format!("{frame}\0");
        let text = match self.framing {
            Framing::Raw => frame,
            Framing::SockJs => format!("a{}", serde_json::json!([frame])),
        };
        self.socket.send(Message::text(text)).await.ok()
    }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

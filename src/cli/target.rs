//! The daemon or the journal that a verb is about. The verb reaches a running daemon over HTTP;
//! else it opens the journal itself, under its lock.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::config_file::config_file;
use super::number::address;
use super::print::{harmless, one_line, tell};
use crate::config::{self, HistoryPlace, Place, Plan, Reading};
use crate::journal::{
    self, BackedUp, Journal, Proof, Reader, ResetId, Restored, SinkAccounting, Start,
};
use crate::model::Names;
use crate::ops::control::{Access, AdminCommand, Reply, execute, unknown};
use crate::pipeline::Decoders;
use crate::secret::{Lifetime, Secret, beginning, protect};
use crate::tls;

/// A daemon on this machine answers at once, or a redrive of everything takes a moment.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer of a daemon, `/metrics` or a status of thousands of topics, is far from it.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// So much of an unknown answer says what it is.
const SHOWN_CHARS: usize = 200;

/// The longest problem that a daemon names in its answer is far from it.
const PROBLEM_CHARS: usize = 4000;

/// For those that have no configuration at hand: nothing is removed meanwhile.
fn without_bounds(path: PathBuf) -> journal::Settings {
    journal::Settings {
        bytes_max: u64::MAX / 2,
        keep: Duration::MAX,
        devices_max: u64::MAX,
        dlq_bytes_max: u64::MAX / 2,
        ..journal::Settings::new(path)
    }
}

#[derive(Debug, Args)]
pub(super) struct Target {
    /// The configuration file of the daemon; by default config.toml, else
    /// /etc/stomp-bridge/config.toml.
    #[arg(short, long, value_name = "FILE", default_value_os_t = config_file(), hide_default_value = true)]
    config: PathBuf,
    /// The daemon's journal, in place of --config: under systemd /var/lib/stomp-bridge/journal.db.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Where the daemon listens. By default the file beside its journal says it. The daemon's token
    /// is sent to no other address: see --token-file.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    http: Option<SocketAddr>,
    /// A file with the token for --http.
    #[arg(long, value_name = "FILE", requires = "http")]
    token_file: Option<PathBuf>,
}

impl Target {
    /// That of a configuration, and nothing else about it.
    pub(super) fn of(config: &Path) -> Target {
        Target {
            config: config.to_owned(),
            journal: None,
            http: None,
            token_file: None,
        }
    }

    /// The configuration's file.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// Whether a daemon has left beside the journal how it is reached: one runs, or was killed.
    pub(super) fn may_run(&self) -> bool {
        let place = self.place();
        place.is_ok_and(|place| !matches!(Access::read(&place.journal), Ok(None)))
    }

    /// The configuration.
    ///
    /// # Errors
    /// Every problem of it.
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        config::load(&self.config).map_err(|problems| anyhow!("{problems}"))
    }

    /// How entries are read, and which of them each sink wants, by the configuration.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn reading(&self) -> anyhow::Result<Reading> {
        config::reading(&self.config).map_err(|problems| anyhow!("{problems}"))
    }

    /// The SQL histories of the configuration; none where there is no configuration.
    pub(super) fn histories(&self) -> Vec<HistoryPlace> {
        config::histories(&self.config).unwrap_or_default()
    }

    /// What people call their devices; none where there is no configuration.
    pub(super) fn names(&self) -> Option<Names> {
        match config::names(&self.config) {
            Ok(names) => names,
            Err(_) if !self.config.exists() => None,
            Err(problem) => {
                tell!("without the names of the devices: {problem}");
                None
            }
        }
    }

    /// Reads the journal's file, whether a daemon writes it or not.
    ///
    /// # Errors
    /// There is no journal, or it may not be read.
    pub(super) async fn reader(&self) -> anyhow::Result<Reader> {
        let path = self.existing()?;
        let opened = Reader::open(&path).await;
        opened.map_err(|error| match error {
            // It does not name the file.
            journal::Error::Sqlite { .. } => {
                anyhow!(error).context(format!("read the journal {}", path.display()))
            }
            error => error.into(),
        })
    }

    /// A GET of the running daemon.
    ///
    /// # Errors
    /// None runs, or it does not answer as it should.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (url, body) = self.body_of(path).await?;
        serde_json::from_slice(&body)
            .map_err(unreadable)
            .with_context(|| format!("{url} is no stomp-bridge of this version"))
    }

    /// The same of what is no JSON.
    ///
    /// # Errors
    /// As [`Target::get`].
    pub(super) async fn get_text(&self, path: &str) -> anyhow::Result<String> {
        let (_, body) = self.body_of(path).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// What the running daemon answers, and its URL.
    async fn body_of(&self, path: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let daemon = self.daemon()?;
        let http = daemon.http;
        if http.port() == 0 {
            bail!("no stomp-bridge runs on this journal: start it with `stomp-bridge run`");
        }
        let url = daemon.url(path);
        let mut request = daemon.client()?.get(&url);
        if let Some(token) = &daemon.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| anyhow!(
            "no stomp-bridge answers on {http}: is it running? Start it with `stomp-bridge run`, or name its address \
             with --http ({})",
            error.without_url()
        ))?;
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED && daemon.token.is_none() {
            bail!(
                "{url} wants a token, and none is sent there: name a file with it by --token-file"
            );
        }
        let body = read_body(answer).await;
        let body = body.with_context(|| format!("read {url}"))?;
        if !status.is_success() {
            bail!("{url} answered {status}: {}", shown(&body));
        }
        Ok((url, body))
    }

    /// Carries out a command: through the daemon if one runs, else on the journal itself. Durable
    /// on return.
    ///
    /// # Errors
    /// It was refused, or neither can be reached.
    pub(super) async fn carry_out(&self, command: &AdminCommand) -> anyhow::Result<Reply> {
        let journal = self.existing()?;
        let mut stranger = None;
        let access = match Access::read(&journal) {
            Ok(access) => access,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let file = Access::path(&journal);
                bail!(
                    "{} may be read by the daemon's user alone: run this as that user, or as root",
                    file.display()
                );
            }
            Err(error) => return Err(error).context("read the daemon's token"),
        };
        if let Some(access) = access {
            let listens = access.http;
            let daemon = self.given_token(Daemon::of(access, self.http))?;
            let http = daemon.http;
            let Some(token) = &daemon.token else {
                bail!(
                    "the daemon of this journal listens on {listens}, and its token is not sent to \
                     {http}: leave --http out, or name a file with the token by --token-file"
                );
            };
            let request = daemon.client()?.post(daemon.url("/control"));
            let request = request.bearer_auth(token.expose_secret());
            match request.body(serde_json::to_vec(command)?).send().await {
                Ok(answer) => match read_reply(answer).await? {
                    Answer::Reply(reply) => return Ok(reply),
                    // The daemon was killed, and another program has its port now: where not, the
                    // journal is in use.
                    Answer::Unknown(said) => stranger = Some((http, said)),
                },
                // Killed: its file is left over.
                Err(error) if error.is_connect() => {}
                Err(error) => {
                    return Err(error.without_url())
                        .with_context(|| format!("ask the daemon on {http}"));
                }
            }
        }
        let done = self.on_the_journal(journal, command).await;
        match stranger {
            None => done,
            Some((http, said)) => {
                done.with_context(|| format!("what answers on {http} is no stomp-bridge ({said})"))
            }
        }
    }

    /// Carries out many commands: through the daemon if one runs, else on the journal itself, which
    /// is opened once.
    ///
    /// # Errors
    /// That of `work`, or the journal cannot be opened.
    pub(super) async fn operate<T>(
        &self,
        work: impl AsyncFnOnce(Operator<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let journal = self.existing()?;
        if !matches!(Access::read(&journal), Ok(None)) {
            return work(Operator::Asking(self)).await;
        }
        let work = async |journal: &Journal| work(Operator::Owning(journal)).await;
        self.with_journal(journal, None, work).await
    }

    async fn on_the_journal(&self, path: PathBuf, command: &AdminCommand) -> anyhow::Result<Reply> {
        let forgotten = match command {
            AdminCommand::Forget { .. } => Some(Forgotten::Sink),
            AdminCommand::ForgetDevices { .. } => Some(Forgotten::Devices),
            _ => None,
        };
        let work = async |journal: &Journal| {
            let reply = execute(journal, command.clone()).await?;
            if matches!(
                command,
                AdminCommand::Redrive { .. } | AdminCommand::Replay { .. }
            ) {
                Operator::Owning(journal).tell_when();
            }
            Ok(reply)
        };
        self.with_journal(path, forgotten, work).await
    }

    /// Opens the journal, which no daemon has, for as long as `work` takes.
    async fn with_journal<T>(
        &self,
        path: PathBuf,
        forgotten: Option<Forgotten>,
        work: impl AsyncFnOnce(&Journal) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let plan = self.journal.is_none().then(|| self.plan());
        // A sink that is to be forgotten must not be in the configuration.
        let plan = match plan {
            Some(Err(problems)) if forgotten.is_some() => return Err(problems),
            plan => plan.and_then(Result::ok),
        };
        let settings = match &plan {
            Some(plan) => plan.journal.clone(),
            None => without_bounds(path),
        };
        let forgets = forgotten == Some(Forgotten::Devices);
        let (journal, mut writer) = match Journal::open(&settings).await {
            Err(journal::Error::InUse { path }) => bail!(
                "a stomp-bridge uses {}, but does not answer: name its address with --http, or wait until it has started",
                path.display()
            ),
            opened => {
                opened.with_context(|| format!("open the journal {}", settings.path.display()))?
            }
        };
        if let Some(plan) = plan.as_ref().filter(|_| forgets) {
            // What the last process has not saved would bring a device back.
            let decoders = Decoders::new(plan.decoders.clone());
            writer
                .catch_up(|topic, via, body| decoders.status_key(topic, via, body))
                .await?;
        }
        let stop = CancellationToken::new();
        let work = async {
            let sinks: Option<Vec<(Arc<str>, Start)>> = match &plan {
                Some(plan) => {
                    let sinks = plan.sinks.iter().map(|(delivery, _)| delivery);
                    Some(sinks.map(|it| (it.name.clone(), it.start)).collect())
                }
                // With --journal none is registered; of a wrong configuration all that are known.
                None if self.journal.is_some() => None,
                None => {
                    let known = journal.log.status().sinks.into_iter();
                    Some(known.map(|sink| (sink.name, Start::Newest)).collect())
                }
            };
            if let Some(sinks) = sinks {
                journal.cursors.register_sinks(&sinks).await?;
            }
            work(&journal).await
        };
        let work = async {
            let done = work.await;
            stop.cancel();
            done
        };
        let (written, done) = tokio::join!(writer.run(stop.clone()), work);
        written?;
        done
    }

    /// Gives the journal a new id; see [`journal::reset_id`].
    ///
    /// # Errors
    /// There is none, a daemon has it, or it is no stale copy.
    pub(super) async fn reset_id(&self, proof: Proof) -> anyhow::Result<(PathBuf, ResetId)> {
        let path = self.existing()?;
        let settings = match &self.journal {
            Some(_) => without_bounds(path),
            None => journal::Settings {
                path,
                ..self.plan()?.journal
            },
        };
        let renewed = journal::reset_id(&settings, proof).await?;
        Ok((settings.path, renewed))
    }

    /// Copies the journal, which a daemon may be writing; see [`journal::back_up`].
    ///
    /// # Errors
    /// There is none, or the copy cannot be made.
    pub(super) async fn back_up(&self, to: &Path) -> anyhow::Result<(PathBuf, BackedUp)> {
        let path = self.existing()?;
        let made = journal::back_up(&path, to).await?;
        Ok((path, made))
    }

    /// Makes the journal of a backup; see [`journal::restore`].
    ///
    /// # Errors
    /// A journal is there, or the backup is none.
    pub(super) async fn restore(&self, from: &Path) -> anyhow::Result<(PathBuf, Restored)> {
        let path = self.journal_path()?;
        let made = journal::restore(&path, from).await?;
        Ok((path, made))
    }

    /// The daemon to ask: as the file beside its journal says, else as the configuration does.
    fn daemon(&self) -> anyhow::Result<Daemon> {
        self.given_token(self.known_daemon()?)
    }

    fn known_daemon(&self) -> anyhow::Result<Daemon> {
        let place = match (self.place(), self.http) {
            (Ok(place), _) => place,
            (Err(_), Some(http)) => return Ok(Daemon::at(http)),
            (Err(error), None) => return Err(error),
        };
        let is_there = match Access::read(&place.journal) {
            Ok(Some(access)) => return Ok(Daemon::of(access, self.http)),
            // Another user's.
            Err(_) => true,
            // The program at its address has another journal.
            Ok(None) if self.http.is_none() && place.journal.exists() => bail!(
                "no stomp-bridge runs on the journal {}: start it with `stomp-bridge run`, or name \
                 the address of another daemon with --http",
                place.journal.display()
            ),
            Ok(None) => false,
        };
        let http = self.http.or(place.listen).ok_or_else(|| {
            anyhow!("http.listen is no address and port: name the daemon's with --http")
        })?;
        let Ok(plan) = self.plan() else {
            return Ok(Daemon::at(http));
        };
        let daemon = Daemon {
            http,
            token: plan.http.token,
            cert_file: plan.http.tls.map(|tls| tls.cert_file),
        };
        Ok(match is_there {
            true => daemon.with_token_for(plan.http.listen),
            // None runs on this journal: the listener is another program, unless its certificate
            // says who it is.
            false => daemon.with_token_for_certificate(),
        })
    }

    /// With the token of --token-file, where there is one.
    fn given_token(&self, daemon: Daemon) -> anyhow::Result<Daemon> {
        let Some(file) = &self.token_file else {
            return Ok(daemon);
        };
        let token = std::fs::read_to_string(file);
        let token = token.with_context(|| format!("read {}", file.display()))?;
        protect(&token, Lifetime::Configured);
        Ok(Daemon {
            token: Some(token.trim().into()),
            ..daemon
        })
    }

    /// Where the journal is, whether it is there or not.
    ///
    /// # Errors
    /// Nothing says it.
    pub(super) fn journal_path(&self) -> anyhow::Result<PathBuf> {
        Ok(self.place()?.journal)
    }

    /// The file of a journal that is there.
    fn existing(&self) -> anyhow::Result<PathBuf> {
        let path = self.place()?.journal;
        if !path.try_exists().unwrap_or(true) {
            bail!(
                "there is no journal {}: name another with --journal",
                path.display()
            );
        }
        Ok(path)
    }

    /// What is needed to look: a configuration that is wrong elsewhere, or lacks a secret, says
    /// that, too. The journal is named by where it really is: what the daemon leaves beside it lies
    /// there.
    fn place(&self) -> anyhow::Result<Place> {
        let place = self.written()?;
        Ok(Place {
            journal: journal::real_path(&place.journal),
            ..place
        })
    }

    fn written(&self) -> anyhow::Result<Place> {
        let Some(path) = &self.journal else {
            return config::place(&self.config).map_err(|problems| {
                anyhow!("{problems}\n--journal names the daemon's journal without a configuration")
            });
        };
        let journal = std::path::absolute(path);
        let journal = journal.with_context(|| format!("--journal {}", path.display()))?;
        // The daemon's address stands beside its journal.
        let listen = config::place(&self.config).ok();
        Ok(Place {
            journal,
            listen: listen.and_then(|place| place.listen),
        })
    }
}

/// The thing that is forgotten permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgotten {
    Sink,
    Devices,
}

/// Who carries out many commands.
pub(super) enum Operator<'a> {
    /// The daemon of a target.
    Asking(&'a Target),
    /// This process, on a journal that no daemon has.
    Owning(&'a Journal),
}

impl Operator<'_> {
    /// Carries out one of them. Durable on return.
    ///
    /// # Errors
    /// It was refused, or the daemon cannot be reached.
    pub(super) async fn carry_out(&self, command: &AdminCommand) -> anyhow::Result<Reply> {
        match self {
            Operator::Asking(target) => target.carry_out(command).await,
            Operator::Owning(journal) => Ok(execute(journal, command.clone()).await?),
        }
    }

    /// Says when what is to be delivered again is, unless it is at once.
    pub(super) fn tell_when(&self) {
        if let Operator::Owning(_) = self {
            tell!(
                "no stomp-bridge runs on this journal: the entries are delivered after the next \
                 start"
            );
        }
    }
}

/// How to reach a running daemon.
#[derive(Debug)]
struct Daemon {
    http: SocketAddr,
    token: Option<Secret>,
    /// The certificate that it shows, where it speaks TLS.
    cert_file: Option<PathBuf>,
}

impl Daemon {
    /// One of which nothing but the address is known.
    fn at(http: SocketAddr) -> Daemon {
        Daemon {
            http,
            token: None,
            cert_file: None,
        }
    }

    /// By the file beside its journal; `http` names another address.
    fn of(access: Access, http: Option<SocketAddr>) -> Daemon {
        let daemon = Daemon {
            http: http.unwrap_or(access.http),
            token: Some(access.token.into()),
            cert_file: access.cert_file,
        };
        daemon.with_token_for(access.http)
    }

    /// Without its token, unless it is asked where the daemon of that token listens, or has that
    /// daemon's certificate.
    fn with_token_for(self, listen: SocketAddr) -> Daemon {
        let (here, there) = (self.http.ip().to_canonical(), listen.ip().to_canonical());
        let is_on_it = here == there || there.is_unspecified() && here.is_loopback();
        match is_on_it && self.http.port() == listen.port() {
            true => self,
            false => self.with_token_for_certificate(),
        }
    }

    fn with_token_for_certificate(self) -> Daemon {
        Daemon {
            token: self.token.filter(|_| self.cert_file.is_some()),
            ..self
        }
    }

    fn url(&self, path: &str) -> String {
        let scheme = match self.cert_file {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}{path}", self.http)
    }

    /// It is on this machine: no proxy can reach it, and its certificate file is at hand.
    fn client(&self) -> anyhow::Result<reqwest::Client> {
        let tls = match &self.cert_file {
            Some(cert_file) => tls::client_of(cert_file)?,
            None => tls::trusting_nobody()?,
        };
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
        Ok(client
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&tls))
            .build()?)
    }
}

/// The journal's record of a sink.
///
/// # Errors
/// It knows none of that name.
pub(super) async fn account(reader: &mut Reader, sink: &str) -> anyhow::Result<SinkAccounting> {
    let mut accounts = reader.accounts().await?;
    match accounts.iter().position(|account| *account.sink == *sink) {
        Some(index) => Ok(accounts.swap_remove(index)),
        None => bail!(unknown(sink, accounts.iter().map(|account| &*account.sink))),
    }
}

/// What came of a command, as it was answered.
enum Answer {
    Reply(Reply),
    /// Nothing of ours.
    Unknown(String),
}

async fn read_reply(answer: reqwest::Response) -> anyhow::Result<Answer> {
    #[derive(serde::Deserialize)]
    struct Problem {
        error: String,
    }
    let status = answer.status();
    let body = read_body(answer).await;
    let body = body.context("read the daemon's answer")?;
    let unknown = || Answer::Unknown(format!("it answered {status}: {}", shown(&body)));
    if status.is_success() {
        let reply = serde_json::from_slice(&body).ok().map(Answer::Reply);
        return Ok(reply.unwrap_or_else(unknown));
    }
    match serde_json::from_slice(&body) {
        Ok(Problem { error }) => {
            let error = beginning(error.as_bytes(), PROBLEM_CHARS).marked();
            bail!("{}", harmless(&error))
        }
        Err(_) => Ok(unknown()),
    }
}

/// The listener may be another program: its answer is read to a bound.
async fn read_body(mut answer: reqwest::Response) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await? {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            let mib = ANSWER_BYTES_MAX >> 20;
            bail!("it is longer than {mib} MiB: what answers there is no stomp-bridge");
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// serde repeats words of the answer.
fn unreadable(error: serde_json::Error) -> anyhow::Error {
    anyhow!("{}", one_line(&error.to_string()))
}

/// What of an answer that is none of ours is printed.
fn shown(body: &[u8]) -> String {
    one_line(&beginning(body, SHOWN_CHARS).text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a daemon that listens at `listen` is sent its token at `http`.
    fn check(listen: &str, http: Option<&str>, cert_file: Option<&str>, expected: bool) {
        let access = Access {
            cert_file: cert_file.map(PathBuf::from),
            ..Access::new(listen.parse().unwrap())
        };
        let daemon = Daemon::of(access, http.map(|http| http.parse().unwrap()));
        assert_eq!(daemon.token.is_some(), expected, "{listen} {http:?}");
    }

    /// An answer of somebody, as it comes.
    fn answer(status: u16, body: Vec<u8>) -> reqwest::Response {
        let answer = axum::http::Response::builder().status(status).body(body);
        answer.unwrap().into()
    }

    #[tokio::test]
    async fn a_strangers_answer_is_bounded_and_harmless() {
        let raw = b"<h1>\x1b]0;title\x07\nno\xff".to_vec();
        let unknown = async |answer| match read_reply(answer).await {
            Ok(Answer::Unknown(said)) => said,
            _ => panic!("it is none of ours"),
        };
        let said = unknown(answer(502, raw)).await;
        assert!(said.ends_with("\\u{7} no\u{fffd}"), "{said}");
        let said = unknown(answer(200, b"ok\n".to_vec())).await;
        assert!(said.contains("200 OK: ok"), "{said}");
        let problem = br#"{"error":"no\u001b[31m sink"}"#.to_vec();
        let said = read_reply(answer(409, problem)).await.err();
        let said = said.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said, "no\\u{1b}[31m sink");
        let long = unknown(answer(502, b"x".repeat(5000))).await;
        assert!(long.len() < 300);
        let endless = read_body(answer(200, vec![b'x'; ANSWER_BYTES_MAX + 1])).await;
        let said = endless.unwrap_err().to_string();
        assert!(said.contains("longer than 64 MiB"), "{said}");
    }

    #[test]
    fn a_token_goes_only_to_the_daemon_that_it_is_of() {
        check("127.0.0.1:9610", None, None, true);
        check("127.0.0.1:9610", Some("127.0.0.1:9610"), None, true);
        check(
            "127.0.0.1:9610",
            Some("[::ffff:127.0.0.1]:9610"),
            None,
            true,
        );
        check("0.0.0.0:9610", Some("127.0.0.1:9610"), None, true);
        check("[::]:9610", Some("[::1]:9610"), None, true);
        check("127.0.0.1:9610", Some("127.0.0.1:9611"), None, false);
        check("127.0.0.1:9610", Some("192.0.2.7:9610"), None, false);
        check("0.0.0.0:9610", Some("192.0.2.7:9610"), None, false);
        // The connection ends before anything is sent, where the certificate is another.
        check(
            "127.0.0.1:9610",
            Some("192.0.2.7:9610"),
            Some("cert.pem"),
            true,
        );
    }
}

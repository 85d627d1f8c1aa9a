//! The hosts of the server that a URL names, and TLS on the way to them. Another machine gets no
//! password without TLS and a verified certificate, unless the URL says so. The URL alone decides:
//! sqlx would take PGSSLMODE and PGSSLROOTCERT from the environment too. It also takes our own
//! certificate and key from there (PGSSLCERT, PGSSLKEY), and has no option against it: that is
//! logged.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tracing::subscriber::NoSubscriber;
use tracing::warn;
use url::Url;

use super::exposure::{Exposure, Way};
use super::failure::{Failure, code};
use super::hosts;
use crate::tls;

/// What sqlx 0.9.0 says of a server that answers `N` to SSLRequest; it has no other mark.
const SQLX_SAYS_NO_TLS: &str = "server does not support TLS";

/// How the URL names what [`tls`] speaks of.
const NAMES: tls::Names = tls::Names {
    ca: "sslrootcert",
    client: "sslcert, sslkey",
};

/// Ours, as libpq has it; sqlx 0.9.0 does not know it.
const SESSION_ATTRIBUTES: &str = "target_session_attrs";
/// The options that sqlx 0.9.0 understands, besides `options[NAME]`, and [`SESSION_ATTRIBUTES`]. It
/// logs another one with its value, which may be a password (`sslpassword`), and goes on without
/// it.
const OPTIONS: [&str; 19] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    SESSION_ATTRIBUTES,
    "user",
];

/// A URL, understood.
pub(super) struct Server {
    /// At least one, in the order of the URL.
    hosts: Vec<Host>,
    wanted: Wanted,
    root_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

/// Where it may be.
pub(super) struct Host {
    /// Without the files of certificates, which each connection reads.
    options: PgConnectOptions,
    exposure: Option<Exposure>,
}

/// Which of the hosts that answer is the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The first.
    Any,
    /// One that accepts writes.
    ReadWrite,
    /// One that is no standby.
    Primary,
}

impl Server {
    /// The server of a URL, whose files of certificates are relative to this folder. The error names
    /// the expected form. It holds no part of the URL but the name of an option, since any other
    /// part may be a password.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<Server, String> {
        Server::parse_in(text, folder, |variable| env::var(variable).is_ok())
    }

    /// The same beside the sink: what sqlx makes of the URL is logged where the sink is
    /// built.
    pub(super) fn parse_quietly(text: &str, folder: &Path) -> Result<Server, String> {
        tracing::subscriber::with_default(NoSubscriber::default(), || Server::parse(text, folder))
    }

    /// The same where the environment has these variables.
    fn parse_in(
        text: &str,
        folder: &Path,
        is_set: impl Fn(&str) -> bool,
    ) -> Result<Server, String> {
        let urls = hosts::urls(text)?.into_iter().map(|url| parsed(&url));
        let urls = urls.collect::<Result<Vec<Url>, String>>()?;
        // Everything but the host is the same in each.
        let said = |names: &[&str]| said(&urls[0], names);
        let mode = said(&["sslmode", "ssl-mode"])
            .map(|mode| PgSslMode::from_str(&mode))
            .transpose()
            .map_err(|_| {
                "sslmode in the URL is none of disable, allow, prefer, require, verify-ca and \
                 verify-full"
            })?;
        let wanted = Wanted::of(said(&[SESSION_ATTRIBUTES]).as_deref(), urls.len())?;
        if urls.len() > 1 && said(&["hostaddr"]).is_some() {
            return Err(
                "hostaddr is one address, and the URL names several hosts; write the \
                        addresses in place of the names"
                    .to_owned(),
            );
        }
        let root = said(&["sslrootcert", "ssl-root-cert", "ssl-ca"]);
        let cert = said(&["sslcert", "ssl-cert"]);
        let key = said(&["sslkey", "ssl-key"]);
        let hosts = urls.iter().map(|url| Host::of(url, mode, root.is_some()));
        let hosts = hosts.collect::<Result<Vec<Host>, String>>()?;
        let has_tls = |host: &Host| !matches!(host.options.get_ssl_mode(), PgSslMode::Disable);
        if hosts.iter().any(has_tls) {
            let variables = inherited(cert.is_some(), key.is_some(), is_set)?;
            if !variables.is_empty() {
                warn!(
                    variables = variables.join(", "),
                    "the Postgres client certificate comes from the environment; write sslcert and sslkey in `url`"
                );
            }
        }
        let file = |name: String| folder.join(name);
        Ok(Server {
            hosts,
            wanted,
            // `system` is libpq's word for the system's roots, which are always taken.
            root_file: root.filter(|root| root != "system").map(file),
            cert_file: cert.map(file),
            key_file: key.map(file),
        })
    }

    /// What its URL leaves open on the way to a host; `None`: nothing, or they are on this machine.
    pub(super) fn exposure(&self) -> Option<Exposure> {
        self.hosts.iter().find_map(|host| host.exposure)
    }

    /// Whom we sign in as.
    pub(super) fn user(&self) -> &str {
        self.hosts[0].options.get_username()
    }

    /// In the order in which they are tried.
    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Which of them is the right one.
    pub(super) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Whether the files of certificates can be read now.
    pub(super) fn check_files(&self) -> Result<(), tls::Error> {
        let options = PgConnectOptions::new_without_pgpass();
        self.with_files(&options).map(drop)
    }

    /// With the files of certificates as they are now, so that a renewed one is used.
    fn with_files(&self, options: &PgConnectOptions) -> Result<PgConnectOptions, tls::Error> {
        let mut options = options.clone();
        if let Some(file) = &self.root_file {
            options = options.ssl_root_cert_from_pem(tls::certificate_pem("sslrootcert", file)?);
        }
        if let Some(file) = &self.cert_file {
            options = options.ssl_client_cert_from_pem(tls::certificate_pem("sslcert", file)?);
        }
        if let Some(file) = &self.key_file {
            options = options.ssl_client_key_from_pem(tls::key_pem("sslkey", file)?);
        }
        Ok(options)
    }

    /// Dials a host, agrees on TLS and signs in.
    pub(super) async fn dial(&self, host: &Host) -> Result<PgConnection, Failure> {
        let options = self
            .with_files(&host.options)
            .map_err(|error| Failure::Tls(error.to_string()))?
            .application_name("stomp-bridge")
            // A pooler such as pgbouncer refuses to set it, and nothing here reads numbers as texts.
            .extra_float_digits(None)
            .disable_statement_logging();
        match options.connect().await {
            // sqlx 0.9.0 does only the first half of what `allow` means: clear text, or else TLS.
            Err(error)
                if matches!(options.get_ssl_mode(), PgSslMode::Allow) && wants_tls(&error) =>
            {
                let options = options.ssl_mode(PgSslMode::Require);
                options.connect().await.map_err(explained)
            }
            outcome => outcome.map_err(explained),
        }
    }
}

/// For log lines: without user and password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        let options = &self.hosts[0].options;
        let database = options.get_database().unwrap_or(options.get_username());
        write!(f, "postgres://{}/{database}", hosts.join(","))
    }
}

impl Host {
    fn of(url: &Url, mode: Option<PgSslMode>, has_root: bool) -> Result<Host, String> {
        let options = PgConnectOptions::from_str(without_ours(url).as_str()).map_err(|_| {
            "an option of the URL cannot be read: port and statement-cache-capacity are numbers, \
             hostaddr is an IP address"
        })?;
        let way = Way::of(&options, mode, has_root);
        // An address in brackets is resolved by nobody, and no certificate is for it.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        // No certificate: the environment is not asked for one.
        let options = options
            .host(&host)
            .ssl_mode(way.mode)
            .ssl_root_cert_from_pem(Vec::new());
        Ok(Host {
            options,
            exposure: way.exposure,
        })
    }
}

/// Its name and port.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl Wanted {
    /// As `target_session_attrs` says it. A history is written: of several hosts it takes one that
    /// can be.
    fn of(written: Option<&str>, hosts: usize) -> Result<Wanted, String> {
        match written {
            None if hosts == 1 => Ok(Wanted::Any),
            None | Some("read-write") => Ok(Wanted::ReadWrite),
            Some("primary") => Ok(Wanted::Primary),
            Some("any") => Ok(Wanted::Any),
            Some(_) => Err(format!(
                "{SESSION_ATTRIBUTES} in the URL is none of read-write, primary and any; a history \
                 is written"
            )),
        }
    }
}

/// A URL of one host, each of whose options is known.
fn parsed(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| ["postgres", "postgresql"].contains(&url.scheme()))
        .ok_or("url is not one of Postgres; expected postgres://user:password@host/database")?;
    match unknown_option(&url) {
        Some(option) => Err(option),
        None => Ok(url),
    }
}

/// What the query says; the last one counts, as it does for sqlx.
fn said(url: &Url, names: &[&str]) -> Option<String> {
    url.query_pairs()
        .filter(|(name, _)| names.contains(&name.as_ref()))
        .last()
        .map(|(_, value)| value.into_owned())
}

/// For sqlx, which would log what it does not know.
fn without_ours(url: &Url) -> Url {
    let mut url = url.clone();
    if said(&url, &[SESSION_ATTRIBUTES]).is_some() {
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != SESSION_ATTRIBUTES)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url
}

/// The variables from which sqlx takes what the URL does not name of our certificate. One without
/// the other half makes every connection with TLS fail, in words that name neither.
fn inherited(
    has_cert: bool,
    has_key: bool,
    is_set: impl Fn(&str) -> bool,
) -> Result<Vec<&'static str>, String> {
    let halves = [
        (has_cert, "PGSSLCERT", "sslcert"),
        (has_key, "PGSSLKEY", "sslkey"),
    ];
    let [cert, key] = halves.map(|(has, variable, option)| {
        let inherited = (!has && is_set(variable)).then_some(variable);
        (has || inherited.is_some(), inherited, option)
    });
    for ((present, variable, option), (other_present, _, other)) in [(cert, key), (key, cert)] {
        if present && !other_present {
            let set = variable.map_or_else(
                || format!("{option} is set in the URL"),
                |variable| format!("{variable} is set in the environment"),
            );
            let unset =
                variable.map_or_else(String::new, |variable| format!(", or unset {variable}"));
            return Err(format!(
                "{set} but {other} is not: a client certificate needs both; write sslcert and \
                 sslkey in the URL{unset}"
            ));
        }
    }
    Ok([cert.1, key.1].into_iter().flatten().collect())
}

/// Says which option of the URL would have no effect. With an `@` after the `?`, the `?` may be
/// part of a password, and a seeming option may be the rest of it.
fn unknown_option(url: &Url) -> Option<String> {
    let is_known = |name: &str| {
        let is_setting = name.starts_with("options[") && name.ends_with(']');
        is_setting || OPTIONS.contains(&name)
    };
    let (unknown, _) = url.query_pairs().find(|(name, _)| !is_known(name))?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-[].".contains(&byte);
    let has_at = url.query().is_some_and(|query| query.contains('@'));
    let named = if unknown.bytes().all(is_name) && !has_at {
        format!("the option {unknown} of the URL")
    } else {
        "an option of the URL (a ? in a password is written %3F)".to_owned()
    };
    Some(format!(
        "{named} is not known and would have no effect; remove it, or use one of {}",
        OPTIONS.join(", ")
    ))
}

/// Or another user: the server uses one code for whatever pg_hba.conf does not let in.
fn wants_tls(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "28000")
}

fn explained(error: sqlx::Error) -> Failure {
    let refusal = match &error {
        // The handshake, and an alert that comes after it.
        sqlx::Error::Io(error) => tls::refusal(error),
        sqlx::Error::Tls(error) if error.to_string() == SQLX_SAYS_NO_TLS => {
            return Failure::Tls(
                "the server offers no TLS, and was sent no password; switch TLS on there \
                 (ssl = on), or set sslmode=disable in `url` if clear text is wanted"
                    .to_owned(),
            );
        }
        sqlx::Error::Tls(error) => error.downcast_ref(),
        _ => None,
    };
    match refusal {
        Some(refusal) => Failure::Tls(format!("TLS: {}", NAMES.explained(refusal))),
        None => Failure::Sql(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Server {
        Server::parse(url, Path::new("/etc/bridge"))
            .unwrap_or_else(|problem| panic!("{url}: {problem}"))
    }

    /// The mode by its name in a URL, and what that leaves open.
    fn way(url: &str) -> (&'static str, Option<Exposure>) {
        let server = parse(url);
        let mode = match server.hosts[0].options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        (mode, server.exposure())
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_verified_tls() {
        for host in [
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "localhost",
            "LOCALHOST",
            "db/x?hostaddr=127.0.0.1&application_name=",
            "db/x?host=localhost&application_name=",
        ] {
            let url = format!("postgres://u:p@{host}/devices");
            assert_eq!(way(&url), ("prefer", None), "{host}");
        }
        for host in [
            "db",
            "db.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "128.0.0.1",
            "126.255.255.255",
            "[::2]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.example.com",
            "%6cocalhost",
            "db%2Fx",
            "127.1",
            "localhost/x?host=db&application_name=",
            "127.0.0.1/x?hostaddr=10.0.0.1&application_name=",
            "db,localhost",
        ] {
            let url = format!("postgresql://u:p@{host}/devices");
            assert_eq!(way(&url), ("verify-full", None), "{host}");
        }
    }

    #[test]
    fn a_unix_socket_has_no_tls_whatever_the_url_says() {
        for url in [
            "postgres://%2Fvar%2Frun%2Fpostgresql/devices",
            "postgres://u@%2Fvar%2Frun/devices?sslmode=verify-full",
            "postgres://db/devices?host=/var/run/postgresql",
            // sqlx takes the socket, wherever it stands.
            "postgres://%2Fvar%2Frun/devices?host=db",
        ] {
            assert_eq!(way(url), ("disable", None), "{url}");
        }
    }

    #[test]
    fn the_mode_of_the_url_counts_and_what_it_leaves_open_is_known() {
        for (option, mode, exposure) in [
            ("sslmode=disable", "disable", Some(Exposure::Disable)),
            ("sslmode=allow", "allow", Some(Exposure::Allow)),
            ("sslmode=prefer", "prefer", Some(Exposure::Prefer)),
            ("ssl-mode=PREFER", "prefer", Some(Exposure::Prefer)),
            ("sslmode=require", "require", Some(Exposure::Require)),
            (
                "sslmode=require&sslrootcert=/ca.pem",
                "verify-ca",
                Some(Exposure::VerifyCa),
            ),
            ("sslmode=verify-ca", "verify-ca", Some(Exposure::VerifyCa)),
            ("sslmode=verify-full", "verify-full", None),
            ("sslmode=disable&sslmode=verify-full", "verify-full", None),
            ("sslrootcert=/ca.pem", "verify-full", None),
        ] {
            let url = format!("postgres://u:p@db/devices?{option}");
            assert_eq!(way(&url), (mode, exposure), "{option}");
            if option.starts_with("ssl-mode=") || option.starts_with("sslmode=") {
                let url = format!("postgres://u:p@127.0.0.1/devices?{option}");
                assert_eq!(way(&url), (mode, None), "{option} on this machine");
            }
        }
    }

    #[test]
    fn a_file_lies_beside_the_configuration_and_the_systems_authorities_are_none() {
        for (root, file) in [
            ("system", None),
            ("/ca.pem", Some("/ca.pem")),
            ("ca.pem", Some("/etc/bridge/ca.pem")),
        ] {
            let server = parse(&format!("postgres://u@db/devices?sslrootcert={root}"));
            assert_eq!(server.root_file, file.map(PathBuf::from), "{root}");
        }
    }

    #[test]
    fn a_client_certificate_of_the_environment_is_reported_and_half_of_one_refused() {
        let both = "sslcert=/c.pem&sslkey=/k.pem";
        for (variables, options, expected) in [
            (&[][..], "", Ok(&[][..])),
            (&["PGSSLCERT"], "", Err("PGSSLCERT is set in the env")),
            (&["PGSSLKEY"], "", Err("PGSSLKEY is set in the env")),
            (&[], "sslcert=/c.pem", Err("sslcert is set in the URL")),
            (&["PGSSLCERT"], "sslcert=/c.pem", Err("sslkey is not")),
            (&["PGSSLKEY"], "sslcert=/c.pem", Ok(&["PGSSLKEY"])),
            (
                &["PGSSLCERT", "PGSSLKEY"],
                "",
                Ok(&["PGSSLCERT", "PGSSLKEY"]),
            ),
            (&["PGSSLCERT"], both, Ok(&[])),
            (&["PGSSLCERT"], "sslmode=disable", Ok(&[])),
        ] {
            let case = format!("{variables:?} with ?{options}");
            let is_set = |variable: &str| variables.contains(&variable);
            let url = format!("postgres://u@db/x?{options}");
            let server = Server::parse_in(&url, Path::new(""), is_set);
            let [has_cert, has_key] = ["sslcert", "sslkey"].map(|name| options.contains(name));
            match expected {
                Ok(expected) => {
                    assert!(server.is_ok(), "{case}");
                    if !options.contains("disable") {
                        assert_eq!(
                            inherited(has_cert, has_key, is_set).expect(&case),
                            expected,
                            "{case}"
                        );
                    }
                }
                Err(expected) => {
                    let problem = server.err().expect(&case);
                    assert!(problem.contains(expected), "{case}: {problem}");
                }
            }
        }
    }

    #[test]
    fn of_several_hosts_one_that_can_be_written_is_wanted() {
        for (url, expected) in [
            ("a/x", Wanted::Any),
            ("a/x?target_session_attrs=read-write", Wanted::ReadWrite),
            ("a,b/x", Wanted::ReadWrite),
            ("a,b/x?target_session_attrs=primary", Wanted::Primary),
            ("a,b/x?target_session_attrs=any", Wanted::Any),
        ] {
            let server = parse(&format!("postgres://u:p@{url}"));
            assert_eq!(server.wanted(), expected, "{url}");
        }
    }

    #[test]
    fn each_host_is_protected_by_where_it_is() {
        let server = parse("postgres://u:p@127.0.0.1,db/x?sslmode=require");
        let exposed: Vec<_> = server.hosts.iter().map(|host| host.exposure).collect();
        assert_eq!(exposed, [None, Some(Exposure::Require)]);
        assert_eq!(server.exposure(), Some(Exposure::Require));
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_shown() {
        for (url, expected) in [
            ("s3cret", "url is not one of Postgres"),
            ("mysql://u:s3cret@db/x", "url is not one of Postgres"),
            (
                "postgres://u:s3cret@db:port/x",
                "url is not one of Postgres",
            ),
            ("postgres://u@db/x?sslmode=s3cret", "none of disable, allow"),
            (
                "postgres://u@db/x?sslmode=verify_full",
                "none of disable, allow",
            ),
            ("postgres://u@db/x?port=s3cret", "port"),
            ("postgres://u@db/x?hostaddr=s3cret", "hostaddr"),
            ("postgres://u@a,b/x?hostaddr=10.0.0.1", "hostaddr"),
            (
                "postgres://u@a,b/x?target_session_attrs=s3cret",
                "none of read-write",
            ),
            (
                "postgres://u@a,b/x?target_session_attrs=standby",
                "a history is written",
            ),
            ("postgres://u@db/x?sslpassword=s3cret", "option sslpassword"),
            (
                "postgres://u@db/x?sslmode=verify-full&channel_binding=s3cret",
                "option channel_binding",
            ),
            (
                "postgres://u@db/x?options[work_mem=s3cret",
                "options[work_mem",
            ),
            ("postgres://u:12?s3cret=1@db/x", "an option of the URL"),
            ("postgres://u@db/x?s3cret%20word=1", "an option of the URL"),
        ] {
            let problem = Server::parse(url, Path::new("")).err().expect(url);
            assert!(
                problem.contains(expected) && !problem.contains("s3cret"),
                "{url}: {problem}"
            );
        }
    }

    #[test]
    fn each_exposure_is_one_line_that_says_what_to_do() {
        for (exposure, expected) in [
            (Exposure::Disable, "disable sends the password"),
            (Exposure::Allow, "allow sends the password"),
            (Exposure::Prefer, "answers without TLS"),
            (Exposure::Require, "any certificate"),
            (Exposure::VerifyCa, "any other name"),
        ] {
            let said = exposure.to_string();
            assert!(
                said.starts_with("sslmode=") && said.contains(expected),
                "{said}"
            );
            assert!(said.contains("; write sslmode=verify-full"), "{said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn log_lines_name_the_server_without_its_password() {
        for (url, expected) in [
            ("postgres://u:p@db/devices", "postgres://db:5432/devices"),
            (
                "postgres://u:p@[::1]:7/devices",
                "postgres://[::1]:7/devices",
            ),
            (
                "postgres://u:p@a,b:7/devices?target_session_attrs=any",
                "postgres://a:5432,b:7/devices",
            ),
        ] {
            assert_eq!(parse(url).to_string(), expected);
        }
    }
}

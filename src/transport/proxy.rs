//! HTTP proxies, as the environment names them: which of them a server is behind, and the tunnel
//! through one (RFC 9110, section 9.3.6, CONNECT).

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use url::Url;

use super::error::DialError;
use super::headers::USER_AGENT;
use super::peer::{Framing, Peer, Security};
use crate::secret::{Lifetime, Secret, protect};

/// The proxies of an environment: `http_proxy` for `ws` and `http`, `https_proxy` for `wss` and
/// `https`. `all_proxy` is for all schemes that have none of their own, `stomp` and `stomps`
/// included. `no_proxy` names the hosts that are reached directly. Of each, the name in small
/// letters counts before the one in capitals.
///
/// This machine itself is always reached directly.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Variable>,
    https: Option<Variable>,
    all: Option<Variable>,
    except: Vec<String>,
}

/// A variable and its value, which may hold a password.
#[derive(Clone)]
struct Variable {
    name: &'static str,
    value: Secret,
}

impl Proxies {
    /// Those of this process's environment.
    pub fn of_environment() -> Proxies {
        Proxies::of(|name| std::env::var(name).ok())
    }

    /// Those that `lookup` gives for the variables' names.
    pub fn of(lookup: impl Fn(&str) -> Option<String>) -> Proxies {
        let variable = |names: [&'static str; 2]| {
            let found = names
                .into_iter()
                .find_map(|name| Some((name, lookup(name).filter(|value| !value.is_empty())?)));
            found.map(|(name, value)| Variable {
                name,
                value: value.into(),
            })
        };
        let except = ["no_proxy", "NO_PROXY"]
            .into_iter()
            .find_map(&lookup)
            .unwrap_or_default();
        Proxies {
            http: variable(["http_proxy", "HTTP_PROXY"]),
            https: variable(["https_proxy", "HTTPS_PROXY"]),
            all: variable(["all_proxy", "ALL_PROXY"]),
            except: except
                .split([',', ' '])
                .filter(|host| !host.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        }
    }

    /// The proxy that this server is behind.
    ///
    /// # Errors
    /// The variable holds what cannot be used.
    pub(super) fn before(&self, peer: &Peer) -> Result<Option<Proxy>, DialError> {
        if is_here(&peer.host) || self.except.iter().any(|pattern| matches(pattern, peer)) {
            return Ok(None);
        }
        let own = match (peer.framing, peer.security) {
            (Framing::Plain, _) => None,
            (_, Security::Clear) => self.http.as_ref(),
            (_, Security::Tls) => self.https.as_ref(),
        };
        own.or(self.all.as_ref()).map(Proxy::read).transpose()
    }
}

/// The names only: values may hold passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [&self.http, &self.https, &self.all]
            .into_iter()
            .flatten()
            .map(|variable| variable.name);
        f.debug_struct("Proxies")
            .field("set", &set.collect::<Vec<_>>())
            .field("except", &self.except)
            .finish()
    }
}

fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// `*`, a host, a domain with all below it (with or without a dot before it), an address, a network
/// (`10.0.0.0/8`); a port may follow.
fn matches(pattern: &str, peer: &Peer) -> bool {
    if pattern == "*" {
        return true;
    }
    let host = peer.host.to_ascii_lowercase();
    if let (Ok(address), Some((network, bits))) = (host.parse(), pattern.split_once('/')) {
        return network.parse().is_ok_and(|network| {
            bits.parse()
                .is_ok_and(|bits| is_within(address, network, bits))
        });
    }
    let pattern = match pattern.rsplit_once(':') {
        Some((pattern, port)) if !pattern.contains(':') || pattern.ends_with(']') => {
            if port.parse() != Ok(peer.port) {
                return false;
            }
            pattern
        }
        _ => pattern,
    };
    let pattern = pattern
        .trim_start_matches("*.")
        .trim_matches(['.', '[', ']']);
    host == pattern
        || host
            .strip_suffix(pattern)
            .is_some_and(|rest| rest.ends_with('.') && !pattern.is_empty())
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            (address.to_bits() ^ network.to_bits())
                .checked_shr(32 - bits)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            (address.to_bits() ^ network.to_bits())
                .checked_shr(128 - bits)
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

/// One proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    /// Where it listens.
    pub(super) peer: Peer,
    /// The whole URL, its password included.
    pub(super) url: Secret,
    variable: &'static str,
    /// `Proxy-Authorization`.
    authorization: Option<Secret>,
}

impl Proxy {
    /// A value without a scheme is a host and a port.
    fn read(variable: &Variable) -> Result<Proxy, DialError> {
        let name = variable.name;
        let unusable = |problem: &str| DialError::Address {
            url: name.to_owned(),
            problem: problem.to_owned(),
        };
        let text = variable.value.expose_secret();
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url: Url = text
            .parse()
            .map_err(|_| unusable("its value is no URL; expected http://host:port"))?;
        if url.scheme() != "http" {
            return Err(unusable("only http:// proxies can be used"));
        }
        let host = url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']'])
            .to_owned();
        let peer = Peer {
            host,
            port: url.port().unwrap_or(80),
            security: Security::Clear,
            framing: Framing::Plain,
        };
        let (user, password) = (
            decoded(url.username()),
            decoded(url.password().unwrap_or_default()),
        );
        protect(&String::from_utf8_lossy(&password), Lifetime::Configured);
        let basic = || {
            format!(
                "Basic {}",
                STANDARD.encode([&user[..], b":", &password[..]].concat())
            )
        };
        let authorization = (!user.is_empty() || !password.is_empty()).then(|| basic().into());
        Ok(Proxy {
            peer,
            url: text.into(),
            variable: name,
            authorization,
        })
    }

    /// Asks for a tunnel to the server; from then on the stream is the server's.
    pub(super) async fn tunnel(&self, tcp: &mut TcpStream, server: &Peer) -> Result<(), DialError> {
        let mut request =
            format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: {USER_AGENT}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str(&format!(
                "Proxy-Authorization: {}\r\n",
                authorization.expose_secret()
            ));
        }
        request.push_str("\r\n");
        let broken = |error: std::io::Error| self.error(format!("the connection broke: {error}"));
        tcp.write_all(request.as_bytes()).await.map_err(broken)?;
        let mut head = Vec::new();
        // Byte by byte, since what follows the head is the server's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == HEAD_BYTES_MAX {
                return Err(self.error(format!(
                    "the answer's header is longer than {HEAD_BYTES_MAX} bytes"
                )));
            }
            head.push(tcp.read_u8().await.map_err(broken)?);
        }
        match Response::try_parse(&head) {
            Ok(Some((_, answer))) if answer.status().is_success() => Ok(()),
            Ok(Some((_, answer))) => Err(self.error(refusal(server, answer.status().as_u16()))),
            Ok(None) | Err(_) => {
                Err(self.error("the answer is no HTTP; is this an HTTP proxy".to_owned()))
            }
        }
    }

    /// In terms of the proxy, not of the server behind it.
    pub(super) fn error(&self, problem: String) -> DialError {
        DialError::Proxy {
            proxy: self.peer.to_string(),
            variable: self.variable,
            problem,
        }
    }
}

/// An answer to CONNECT is a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

fn refusal(server: &Peer, status: u16) -> String {
    let advice = match status {
        407 => "write the user and password into the variable: http://user:password@host:port",
        403 | 405 => "its rules do not allow a tunnel to this host and port",
        _ => "see the proxy's log; or name the host in NO_PROXY, if it can be reached directly",
    };
    format!("it answered {status} to CONNECT {server}; {advice}")
}

/// Percent-encoding undone (RFC 3986, section 2.1).
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Proxies::of(lookup)
    }

    fn before(proxies: &Proxies, url: &str) -> Option<String> {
        let peer = Peer::of(&url.parse().unwrap()).unwrap();
        proxies
            .before(&peer)
            .unwrap()
            .map(|proxy| proxy.peer.to_string())
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let every = proxies(&[
            ("http_proxy", "http://a:1"),
            ("HTTPS_PROXY", "b:2"),
            ("ALL_PROXY", "http://[::1]:3/"),
        ]);
        let check = |proxies: &Proxies, expected: [Option<&str>; 6]| {
            let urls = [
                "ws://h",
                "http://h",
                "wss://h",
                "https://h",
                "stomp://h",
                "stomps://h",
            ];
            for (url, expected) in urls.into_iter().zip(expected) {
                assert_eq!(before(proxies, url).as_deref(), expected, "{url}");
            }
        };
        let (a, b, all) = (Some("a:1"), Some("b:2"), Some("[::1]:3"));
        check(&every, [a, a, b, b, all, all]);
        check(
            &proxies(&[("http_proxy", "a:1"), ("HTTP_PROXY", "x:1")]),
            [a, a, None, None, None, None],
        );
        check(
            &proxies(&[("http_proxy", ""), ("HTTP_PROXY", "a:1")]),
            [a, a, None, None, None, None],
        );
        check(&proxies(&[("all_proxy", "http://a:1")]), [a; 6]);
        check(&Proxies::default(), [None; 6]);
    }

    #[test]
    fn exceptions_and_this_machine_are_reached_directly() {
        let check = |except: &str, url: &str, direct: bool| {
            let proxies = proxies(&[("ALL_PROXY", "p:1"), ("NO_PROXY", except)]);
            assert_eq!(before(&proxies, url).is_none(), direct, "{except} {url}");
        };
        for here in ["ws://localhost", "ws://127.0.0.1:8080", "stomp://[::1]"] {
            check("", here, true);
        }
        check("*", "ws://h", true);
        check("a, Example.com ,b", "ws://example.com", true);
        check("example.com", "ws://deep.EXAMPLE.com", true);
        check(".example.com", "ws://a.example.com", true);
        check("*.example.com", "ws://a.example.com", true);
        check("example.com", "ws://anexample.com", false);
        check("example.com:81", "ws://example.com:81", true);
        check("example.com:81", "ws://example.com", false);
        check("10.0.0.0/8", "ws://10.9.8.7", true);
        check("10.0.0.0/8", "ws://11.9.8.7", false);
        check("0.0.0.0/0", "ws://11.9.8.7", true);
        check("10.1.2.3", "ws://10.1.2.3", true);
        check("fd00::/8", "ws://[fd12::1]", true);
        check("[fd12::1]:80", "ws://[fd12::1]", true);
        check("fd12::1", "ws://[fd12::1]", true);
        check("10.0.0.0/99", "ws://10.9.8.7", false);
        check(".", "ws://h", false);
    }

    #[test]
    fn credentials_are_decoded_for_the_header_and_shown_to_nobody() {
        let set = proxies(&[("ALL_PROXY", "http://us%40er:p%3Aw@p:1")]);
        let peer = Peer::of(&"ws://h".parse().unwrap()).unwrap();
        let proxy = set.before(&peer).unwrap().unwrap();
        let expected = format!("Basic {}", STANDARD.encode("us@er:p:w"));
        assert_eq!(
            proxy.authorization.as_ref().map(Secret::expose_secret),
            Some(expected.as_str())
        );
        let error = proxy.error("x".to_owned());
        for shown in [format!("{set:?}"), format!("{error} {error:?}")] {
            assert!(
                shown.contains("ALL_PROXY") && !shown.contains("p%3Aw"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_names_its_variable_and_not_its_value() {
        let peer = Peer::of(&"wss://h".parse().unwrap()).unwrap();
        for value in ["https://s3cret@p", "socks5://s3cret@p", "http://s3cret@:1"] {
            let error = proxies(&[("https_proxy", value)])
                .before(&peer)
                .map(|_| ())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("https_proxy") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }
}

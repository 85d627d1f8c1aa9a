//! URLs of other clients, and what they are called here: ActiveMQ's `ssl://` and `failover:(…)`, and
//! the addresses that SockJS asks by itself.

use url::Url;

/// ActiveMQ's own protocol, which its URLs are mostly about.
const OPENWIRE_PORTS: [u16; 2] = [61616, 61617];

/// The spelling for a URL that is meant otherwise; `None`: it is not one of those.
pub(super) fn meant(text: &str) -> Option<Spelling> {
    let text = text.trim();
    let (scheme, rest) = text.split_once(':')?;
    let scheme = scheme.to_ascii_lowercase();
    if LISTS.contains(&scheme.as_str()) {
        return Some(of_failover(&scheme, rest));
    }
    if let Some(ours) = ours(&scheme) {
        return Some(Spelling {
            mistake: format!("`{scheme}://` is what other clients call it"),
            advice: advised(&[translated(text, ours)]),
        });
    }
    of_session(text)
}

/// Whether a URL is one of ActiveMQ's lists, in which a comma stands between parentheses.
pub(super) fn is_list(text: &str) -> bool {
    let scheme = text.trim_start().split(':').next().unwrap_or_default();
    LISTS.contains(&scheme.to_ascii_lowercase().as_str())
}

/// ActiveMQ's transports of several URLs.
const LISTS: [&str; 3] = ["failover", "fanout", "discovery"];

/// What to look at in a URL that may be right.
pub(super) fn doubt(text: &str) -> Option<String> {
    let advice = below_a_base(text, |parts| match parts {
        [base @ .., "info"] => Some(base),
        _ => None,
    })?;
    Some(format!(
        "`/info` is what the daemon itself asks of a SockJS endpoint: unless the endpoint is called \
         so, {advice}"
    ))
}

/// A mistake, and what to write in its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) mistake: String,
    pub(super) advice: String,
}

/// A broker's transport by our scheme.
fn ours(scheme: &str) -> Option<&'static str> {
    Some(match scheme {
        "tcp" | "nio" | "stomp+tcp" | "stomp+nio" => "stomp",
        "ssl" | "tls" | "nio+ssl" | "auto+ssl" | "stomp+ssl" | "stomp+nio+ssl" => "stomps",
        "sockjs" => "http",
        _ => return None,
    })
}

/// A URL with our scheme, or its pattern where it cannot be shown.
fn translated(text: &str, ours: &str) -> (String, Option<u16>) {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    // Of a scheme that the URL standard knows, so that the port is read.
    let url = Url::parse(&format!("http://{rest}")).ok();
    match url.filter(|_| !text.contains("{{")) {
        Some(url) => {
            let port = url.port();
            let path = if ours == "http" { url.path() } else { "" };
            let host = url.host_str().unwrap_or_default();
            let port_text = port.map_or_else(String::new, |port| format!(":{port}"));
            (format!("{ours}://{host}{port_text}{path}"), port)
        }
        None => (format!("{ours}://HOST:PORT"), None),
    }
}

/// What to write for these URLs.
fn advised(urls: &[(String, Option<u16>)]) -> String {
    let quoted: Vec<String> = urls.iter().map(|(url, _)| format!("\"{url}\"")).collect();
    let mut advice = match &quoted[..] {
        [url] => format!("write url = {url}"),
        urls => format!("write url = [{}]", urls.join(", ")),
    };
    let openwire = urls
        .iter()
        .filter_map(|(_, port)| *port)
        .find(|port| OPENWIRE_PORTS.contains(port));
    if let Some(port) = openwire {
        advice.push_str(&format!(
            "; {port} is mostly OpenWire's port: STOMP's are 61613, and 61614 for TLS"
        ));
    }
    advice
}

/// `failover:(tcp://a:61613,ssl://b:61614)?randomize=false`, with or without the parentheses.
fn of_failover(scheme: &str, rest: &str) -> Spelling {
    let list = rest.trim_start_matches("//");
    let list = match list.split_once('(') {
        Some((_, inner)) => inner.split(')').next().unwrap_or_default(),
        None => list.split('?').next().unwrap_or_default(),
    };
    let urls: Vec<(String, Option<u16>)> = list
        .split(',')
        .map(str::trim)
        .filter_map(|url| {
            let scheme = url.split_once(':')?.0.to_ascii_lowercase();
            let ours = match ours(&scheme) {
                Some(ours) => ours,
                None if scheme == "stomps" => "stomps",
                None => "stomp",
            };
            Some(translated(url, ours))
        })
        .collect();
    let advice = if urls.is_empty() {
        "write url = [\"stomp://HOST:61613\", \"stomps://OTHER:61614\"]".to_owned()
    } else {
        advised(&urls)
    };
    Spelling {
        mistake: format!("`{scheme}:` is written as a list here"),
        advice,
    }
}

/// The transports of a SockJS session, whose addresses end in `/SERVER/SESSION/TRANSPORT`.
const TRANSPORTS: [&str; 8] = [
    "websocket",
    "xhr",
    "xhr_send",
    "xhr_streaming",
    "eventsource",
    "htmlfile",
    "jsonp",
    "jsonp_send",
];

/// Where the URL is that of a SockJS session, which is asked below the endpoint's base.
fn of_session(text: &str) -> Option<Spelling> {
    let advice = below_a_base(text, |parts| match parts {
        [base @ .., server, session, transport]
            if TRANSPORTS.contains(transport)
                && server.len() == 3
                && server.bytes().all(|byte| byte.is_ascii_digit())
                && !session.is_empty() =>
        {
            Some(base)
        }
        _ => None,
    })?;
    Some(Spelling {
        mistake: "this is one session of a SockJS endpoint".to_owned(),
        advice,
    })
}

/// The endpoint's base, where `base` finds it in the parts of the URL's path.
fn below_a_base(
    text: &str,
    base: for<'p> fn(&'p [&'p str]) -> Option<&'p [&'p str]>,
) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => return None,
    };
    let path = url.path().trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let base = base(&parts)?.join("/");
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    let query = if url.query().is_some() { "?…" } else { "" };
    Some(if text.contains("{{") {
        format!("write the endpoint's base: {scheme}://HOST/ENDPOINT{query}")
    } else {
        format!("write its base: \"{scheme}://{host}{port}{base}{query}\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, advice: Option<&str>) {
        let found = meant(text).map(|spelling| spelling.advice);
        assert_eq!(found.as_deref(), advice, "{text}");
    }

    #[test]
    fn a_brokers_own_urls_are_translated() {
        check("ssl://b:61614", Some("write url = \"stomps://b:61614\""));
        check("TCP://b", Some("write url = \"stomp://b\""));
        check(
            "stomp+ssl://b:61612",
            Some("write url = \"stomps://b:61612\""),
        );
        check(
            "tcp://u:hunter2@[::1]:9/x?p=1",
            Some("write url = \"stomp://[::1]:9\""),
        );
        check(
            "tcp://{{ secret('h') }}:1",
            Some("write url = \"stomp://HOST:PORT\""),
        );
        check("sockjs://h:8/ws", Some("write url = \"http://h:8/ws\""));
        check(
            "tcp://b:61616",
            Some(
                "write url = \"stomp://b:61616\"; 61616 is mostly OpenWire's port: STOMP's are \
                 61613, and 61614 for TLS",
            ),
        );
        for good in [
            "stomp://b:1",
            "stomps://b",
            "ws://h/ws",
            "http://h/ws",
            "ftp://h",
            "h",
        ] {
            check(good, None);
        }
    }

    #[test]
    fn failover_becomes_a_list() {
        let list = Some("write url = [\"stomp://a:61613\", \"stomps://b:61614\"]");
        for text in [
            "failover:(tcp://a:61613,ssl://b:61614)?randomize=false",
            "failover://(tcp://a:61613?x=1, ssl://u:hunter2@b:61614)",
            "failover:tcp://a:61613,ssl://b:61614",
            "failover:(stomp://a:61613,stomps://b:61614)",
        ] {
            check(text, list);
        }
        check(
            "failover:(tcp://a:61613)",
            Some("write url = \"stomp://a:61613\""),
        );
        for odd in ["failover:", "failover:()", "failover:(,)"] {
            check(
                odd,
                Some("write url = [\"stomp://HOST:61613\", \"stomps://OTHER:61614\"]"),
            );
        }
    }

    #[test]
    fn what_sockjs_asks_by_itself_is_cut_to_the_base() {
        check(
            "ws://h/ws/123/abcdefgh/websocket",
            Some("write its base: \"http://h/ws\""),
        );
        check(
            "http://h/ws/000/x/xhr_streaming",
            Some("write its base: \"http://h/ws\""),
        );
        check(
            "http://h/{{ secret('x') }}/000/x/xhr",
            Some("write the endpoint's base: http://HOST/ENDPOINT"),
        );
        // An endpoint of that name, and Spring's own address for plain WebSockets.
        for good in [
            "http://h/websocket",
            "ws://h/ws/websocket",
            "ws://h/a/b/websocket",
            "ws://h/info",
        ] {
            check(good, None);
        }
    }

    #[test]
    fn an_endpoint_may_be_called_info_and_is_doubted() {
        for (text, base) in [
            ("http://h:9/ws/info", "its base: \"http://h:9/ws\""),
            (
                "wss://h/a/ws/info/?t=hunter2",
                "its base: \"https://h/a/ws?…\"",
            ),
            ("http://h/{{ x }}/info", "base: http://HOST/ENDPOINT"),
        ] {
            let doubt = doubt(text).expect(text);
            assert!(doubt.contains("unless the endpoint is called so, write"));
            assert!(doubt.ends_with(base), "{doubt}");
        }
        for good in ["http://h/ws", "stomp://h/info", "http://h/infos"] {
            assert_eq!(doubt(good), None, "{good}");
        }
    }
}

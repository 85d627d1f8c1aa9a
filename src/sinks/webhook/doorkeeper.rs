//! What servers answer with 400 before they read a request: it is for the connection, whatever the
//! event is. Their own texts tell it, which nobody translates.

const PLAIN: &str = "the server wants TLS: write https:// in `url`";
const CERTIFICATE: &str =
    "set tls.cert_file and tls.key_file to a certificate that the server knows";

/// A piece of the text, in small letters, and what is to be done.
const TEXTS: [(&str, &str); 6] = [
    // nginx; as its statuses 497, 496 and 495.
    ("plain http request was sent to https port", PLAIN),
    ("no required ssl certificate was sent", CERTIFICATE),
    ("the ssl certificate error", CERTIFICATE),
    // Apache; Go; Tomcat.
    ("speaking plain http to an ssl-enabled server port", PLAIN),
    ("client sent an http request to an https server", PLAIN),
    ("this combination of host and port requires tls", PLAIN),
];

/// What the person behind the sink can do about a 400 with this text; `None`: it is for the event.
pub(super) fn advice(body: &str) -> Option<&'static str> {
    let body = body.to_ascii_lowercase();
    let mut texts = TEXTS.iter();
    let found = texts.find(|(text, _)| body.contains(text));
    found.map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_the_connection_is_told_from_what_is_for_the_event() {
        for (body, expected) in [
            (
                "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title>",
                Some(PLAIN),
            ),
            (
                "Client sent an HTTP request to an HTTPS server.\n",
                Some(PLAIN),
            ),
            (
                "<center><h1>400 Bad Request</h1>No required SSL certificate was sent</center>",
                Some(CERTIFICATE),
            ),
            ("<html><head><title>400 Bad Request</title>", None),
            (r#"{"error":"state is unknown"}"#, None),
            ("", None),
        ] {
            assert_eq!(advice(body), expected, "{body}");
        }
    }
}

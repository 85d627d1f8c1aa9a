//! The HTTP listener with a token and TLS: who is answered, and that the operator commands go on.

use std::path::{Path, PathBuf};

use peers::{Daemon, wait};
use stomp_bridge::tls;

use super::{bridge, configuration, serve};

const TOKEN: &str = "a-token-of-enough-length";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tls")
        .join(name)
}

fn client(tls: &rustls::ClientConfig) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(wait::LONG)
        .tls_backend_preconfigured(tls.clone())
        .build()
        .unwrap()
}

/// The status and the body.
async fn ask(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn with_a_token_and_tls_probes_and_operators_are_answered_and_nobody_else() {
    let served = serve(0).await;
    let (cert, key) = (fixture("server.pem"), fixture("server.key"));
    let files = format!("cert_file = {cert:?}\nkey_file = {key:?}\n");
    let configuration = configuration(&served.url).table("http.tls", &files);
    let token = [("STOMP_BRIDGE_HTTP__TOKEN", Path::new(TOKEN))];
    let daemon = Daemon::start_with(&configuration, &token).await;
    let here = format!("https://{}", daemon.http());
    let client = client(&tls::client_of(&cert).unwrap());
    let get = |path: &str| client.get(format!("{here}{path}"));

    assert_eq!(ask(get("/healthz")).await.0, 200);
    let (_, body) = ask(get("/readyz")).await;
    assert!(
        body.contains("ready") && !body.contains("reasons"),
        "{body}"
    );
    for path in ["/status", "/metrics", "/nowhere"] {
        let (status, body) = ask(get(path)).await;
        assert_eq!(status, 401, "{path} {body}");
        assert!(body.contains("http.token"), "{body}");
        let (status, _) = ask(get(path).bearer_auth("another-token-of-length")).await;
        assert_eq!(status, 401, "{path}");
    }
    assert_eq!(ask(get("/status").bearer_auth(TOKEN)).await.0, 200);
    assert_eq!(ask(get("/metrics").bearer_auth(TOKEN)).await.0, 200);
    let (_, body) = ask(get("/readyz").bearer_auth(TOKEN)).await;
    assert!(body.contains("reasons"), "{body}");
    let foreign = get("/readyz")
        .bearer_auth(TOKEN)
        .header("host", "evil.example");
    let (status, body) = ask(foreign).await;
    assert_eq!(status, 421, "{body}");
    assert!(body.contains("http.hosts"), "{body}");
    // The token of http opens nothing that changes something.
    let control = client.post(format!("{here}/control")).bearer_auth(TOKEN);
    assert_eq!(ask(control.body("{}")).await.0, 403);
    // Clear text is no way around.
    assert_eq!(daemon.get("/healthz").await, None);

    let config = daemon.folder().path().join("config.toml");
    let config = config.to_str().unwrap();
    for verb in [
        vec!["status", "--config", config],
        vec!["dlq", "drop", "history", "--all", "--config", config],
    ] {
        let output = bridge(&verb);
        let said = String::from_utf8(output.stderr).unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            !said.contains("answered") && !said.contains("error"),
            "{verb:?} {said} {shown}"
        );
    }
    served.end().await;
}

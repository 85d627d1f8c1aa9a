//! A private Prometheus that scrapes one daemon.

use std::path::Path;

use serde_json::Value;

use super::folder::Folder;
use super::process::{Process, tethered};
use super::{http, port};

/// A running Prometheus.
pub struct Prometheus {
    _process: Process,
    _folder: Folder,
    port: u16,
}

impl Prometheus {
    /// Starts one that scrapes `target` (`address:port`) each second as the job `stomp-bridge`,
    /// with a file of rules.
    pub async fn start(target: &str, rules: &Path) -> Prometheus {
        let (folder, port) = (Folder::new("prometheus"), port::free());
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs:\n  - job_name: stomp-bridge\n    static_configs:\n      \
             - targets: [{target:?}]\n"
        );
        let configuration = folder.write("prometheus.yml", &configuration);
        let mut command = tethered("prometheus");
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut process = Process::start("prometheus", command, &folder.join("prometheus.log"));
        process
            .logged("that it is ready", |line| {
                line.contains("Server is ready to receive web requests")
            })
            .await;
        Prometheus {
            _process: process,
            _folder: folder,
            port,
        }
    }

    /// The result of an expression now.
    ///
    /// # Errors
    /// What Prometheus has against it.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let query: String = expression
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        let mut answer = self.ask(&format!("/api/v1/query?query={query}")).await;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        match answer["data"]["result"].take() {
            Value::Array(results) => Ok(results),
            other => Ok(vec![other]),
        }
    }

    /// What it has against the answers of its target; empty: nothing.
    pub async fn scrape_error(&self) -> String {
        let answer = self.ask("/api/v1/targets").await;
        let error = &answer["data"]["activeTargets"][0]["lastError"];
        error.as_str().unwrap_or("no target").to_owned()
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = http::exchange(self.port, "GET", path, "").await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{body}: {error}"))
    }
}

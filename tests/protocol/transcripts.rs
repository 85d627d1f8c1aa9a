//! What real servers were seen to say, replayed over real sockets: `tests/transcripts/*.txt`.

use std::fs;
use std::path::{Path, PathBuf};

use super::script::{Cut, play};

fn transcripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn every_server_is_understood_byte_for_byte() {
    let transcripts = transcripts();
    for server in ["spring", "rabbitmq", "activemq", "sockjs"] {
        assert!(
            transcripts.iter().any(|(name, _)| name.starts_with(server)),
            "{server} has no transcript"
        );
    }
    for (name, text) in &transcripts {
        play(name, text, Cut::Whole).await;
    }
}

#[tokio::test]
async fn every_server_is_understood_byte_by_byte() {
    // SockJS's frames are messages: the server cannot cut them.
    let streams = transcripts()
        .into_iter()
        .filter(|(_, text)| !text.contains("over sockjs"));
    let mut played = 0;
    for (name, text) in streams {
        play(&name, &text, Cut::Bytes).await;
        played += 1;
    }
    assert!(played > 4);
}

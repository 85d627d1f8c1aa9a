//! The style sheet and the script, in the binary. Their names have a digest of what they hold, so a
//! browser keeps them without end and never shows an older one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Digits of the digest in a name.
const DIGITS: usize = 12;

/// The names of both.
pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    style: format!("style-{}.css", digest(STYLE)),
    script: format!("page-{}.js", digest(SCRIPT)),
});

/// As pages write them.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) style: String,
    pub(super) script: String,
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    digits[..DIGITS].to_owned()
}

/// The asset of a name.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        name if name == NAMES.style => ("text/css; charset=utf-8", STYLE),
        name if name == NAMES.script => ("text/javascript; charset=utf-8", SCRIPT),
        // A page of an older daemon asks for an older one: it loads itself again.
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_asset_has_the_name_of_what_it_holds() {
        for (name, kind) in [
            (&NAMES.style, "text/css"),
            (&NAMES.script, "text/javascript"),
        ] {
            let answer = asset(Path(name.clone())).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let given = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
            assert!(given.starts_with(kind), "{given}");
        }
        let answer = asset(Path("style.css".to_owned())).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_style_and_the_script_ask_no_other_host() {
        for text in [STYLE, SCRIPT] {
            let hosts = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!hosts.contains("://"), "an address");
        }
    }
}

//! The style sheet and the script, in the binary. Their names have a digest of what they hold, so a
//! browser keeps them without end and never shows an older one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::hex::hex;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Digits of the digest in a name.
const DIGITS: usize = 12;

/// The names of both.
pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    style: format!("style-{}.css", digest(STYLE)),
    script: format!("page-{}.js", digest(SCRIPT)),
    build: digest(&[env!("CARGO_PKG_VERSION"), STYLE, SCRIPT].concat()),
});

/// As pages write them.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) style: String,
    pub(super) script: String,
    /// Of both.
    pub(super) build: String,
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex(digest)[..DIGITS].to_owned()
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
    use std::collections::BTreeMap;

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

    /// The variables of a block of the style sheet.
    fn palette(block: &str) -> BTreeMap<&str, [f64; 3]> {
        let declarations = block
            .split(';')
            .filter_map(|it| it.trim().split_once(": #"));
        let colour = |digits: &str| {
            let width = digits.len() / 3;
            [0, 1, 2].map(|at| {
                let digit = &digits[at * width..(at + 1) * width];
                let value = u32::from_str_radix(digit, 16).expect("a colour");
                f64::from(if width == 1 { value * 17 } else { value }) / 255.0
            })
        };
        declarations
            .map(|(name, digits)| (name, colour(digits.trim())))
            .collect()
    }

    fn blocks(begins: &str) -> Vec<BTreeMap<&'static str, [f64; 3]>> {
        let blocks = STYLE.split(begins).skip(1);
        let blocks = blocks.map(|rest| palette(rest.split('}').next().unwrap_or_default()));
        blocks.collect()
    }

    /// By WCAG 2: <https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let luminance = |colour: [f64; 3]| {
            let parts = colour.map(|part| match part <= 0.04045 {
                true => part / 12.92,
                false => ((part + 0.055) / 1.055).powf(2.4),
            });
            0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_colour_stands_out_from_every_ground_that_it_is_seen_on() {
        let light = blocks(":root {\n");
        let dark = [
            blocks(":root:not([data-theme=light]) {"),
            blocks("[data-theme=dark] {"),
        ];
        assert_eq!(dark[0], dark[1], "the dark palette stands twice");
        let grounds = ["bg", "card", "sunk", "okbg", "warnbg", "critbg"];
        let checks: [(&str, &[&str], f64); 10] = [
            ("--ink", &grounds, 4.5),
            ("--ink2", &grounds, 4.5),
            ("--link", &grounds, 4.5),
            ("--crit", &["card", "critbg"], 4.5),
            ("--unk", &["card", "bg"], 4.5),
            ("--ok", &["card", "bg", "okbg", "sunk"], 3.0),
            ("--warn", &["card", "bg", "warnbg"], 3.0),
            ("--crit", &["bg", "sunk"], 3.0),
            ("--edge", &["card", "bg", "sunk"], 3.0),
            ("--hex", &["card"], 3.0),
        ];
        for palette in light.iter().chain(&dark[0]) {
            assert!(palette.len() >= 15, "{palette:?}");
            for (colour, grounds, least) in checks {
                for ground in grounds {
                    let found = contrast(palette[colour], palette[&*format!("--{ground}")]);
                    assert!(found >= least, "{colour} on {ground}: {found:.2}");
                }
            }
        }
        assert_eq!((light.len(), dark[0].len()), (1, 1));
    }

    #[test]
    fn the_style_and_the_script_ask_no_other_host() {
        for text in [STYLE, SCRIPT] {
            let hosts = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!hosts.contains("://"), "an address");
        }
    }
}

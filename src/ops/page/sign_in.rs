//! The sign-in of a browser on another machine: the token of `http.token` once, then a cookie, which
//! lets it read and is never enough for a change.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::asker::Asker;
use super::assets::NAMES;
use crate::ops::guard::Guard;
use crate::ops::lang::Lang;

/// A form with a token in it.
const FORM_BYTES_MAX: usize = 4096;

#[derive(Template)]
#[template(path = "page/sign_in.html")]
struct Form {
    l: Lang,
    style: &'static str,
    refused: bool,
}

impl Form {
    fn answer(lang: Lang, refused: bool) -> Response {
        let form = Form {
            l: lang,
            style: &NAMES.style,
            refused,
        };
        match form.render() {
            Ok(html) if refused => (StatusCode::FORBIDDEN, Html(html)).into_response(),
            Ok(html) => Html(html).into_response(),
            Err(error) => super::failure::failure(&error.to_string()),
        }
    }
}

/// The form.
pub(super) async fn form(asker: Asker) -> Response {
    Form::answer(asker.lang, false)
}

/// What the form sends.
pub(super) async fn sign_in(State(guard): State<Guard>, asker: Asker, body: Body) -> Response {
    let body = to_bytes(body, FORM_BYTES_MAX).await.unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(&body);
    let token = fields.find(|(name, _)| name == "token");
    let cookie = token.and_then(|(_, token)| guard.cookie_for(token.trim()));
    match cookie {
        Some(cookie) => {
            let headers = [
                (header::SET_COOKIE, cookie),
                (header::LOCATION, "/".to_owned()),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        None => Form::answer(asker.lang, true),
    }
}

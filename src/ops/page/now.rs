//! The first page: how the daemon is now.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::asker::Asker;
use super::frame::Frame;
use super::regions::{Ages, Regions};
use crate::ops::view::View;

#[derive(Template)]
#[template(path = "page/now.html")]
struct Now {
    f: Frame,
    r: Regions,
}

/// The page.
pub(super) async fn now(State(view): State<View>, asker: Asker) -> Response {
    let f = Frame::new(&view, &asker, "now");
    let regions = Regions::of(&view, asker.lang, Ages::Written);
    match regions {
        Ok(r) => {
            let page = Now { f, r };
            page.f.answer(&page)
        }
        Err(error) => super::failure::failure(&error.to_string()),
    }
}

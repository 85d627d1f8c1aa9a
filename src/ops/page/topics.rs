//! All topics, fifty a page: for many of them the first page has only those in trouble.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::asker::Asker;
use super::frame::Frame;
use super::regions::all_topics;
use crate::ops::lang::Lang;
use crate::ops::snapshot::Snapshot;
use crate::ops::view::View;
use crate::source::by_name;

/// Rows of a page.
const ROWS_MAX: usize = 50;

#[derive(Template)]
#[template(path = "page/topics.html")]
struct Topics {
    f: Frame,
    l: Lang,
    wanted: String,
    rows: String,
    found: usize,
    all: usize,
    next: Option<String>,
}

/// The page.
pub(super) async fn topics(State(view): State<View>, asker: Asker) -> Response {
    let f = Frame::new(&view, &asker, "topics");
    let mut snapshot = Snapshot::of(&view);
    let all = snapshot.topics.len();
    let wanted = asker.value("q").unwrap_or_default().to_owned();
    let topics = &mut snapshot.topics;
    topics.retain(|topic| topic.name.contains(&wanted) || topic.destination.contains(&wanted));
    topics.sort_by(|a, b| by_name(&a.name, &b.name));
    let found = topics.len();
    if let Some(after) = asker.value("after") {
        topics.retain(|topic| by_name(&topic.name, after).is_gt());
    }
    let is_more = topics.len() > ROWS_MAX;
    topics.truncate(ROWS_MAX);
    let last = topics.last().filter(|_| is_more);
    let next = last.map(|last| asker.with(&[("after", Some(&last.name))]));
    let rows = match all_topics(&view, &snapshot, asker.lang) {
        Ok(rows) => rows,
        Err(error) => return super::failure::failure(&error.to_string()),
    };
    let page = Topics {
        l: asker.lang,
        f,
        wanted,
        rows,
        found,
        all,
        next,
    };
    page.f.answer(&page)
}

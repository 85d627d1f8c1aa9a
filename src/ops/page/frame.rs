//! What stands around each page: the head, the pages, the clock and the way to the other language.

use askama::Template;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::asker::Asker;
use super::assets::NAMES;
use crate::ops::lang::{Lang, clock, grouped};
use crate::ops::verdict::Said;
use crate::ops::view::View;

/// How long a chosen language is kept: a year.
const KEPT_SECONDS: u32 = 31_536_000;

/// The frame of one page.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) l: Lang,
    pub(super) page: &'static str,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) host: String,
    pub(super) state: State,
    pub(super) offset: String,
    pub(super) other_language: String,
    /// What the page is about, in its title.
    pub(super) subject: String,
    /// Where the token of changes is.
    pub(super) control_file: String,
    chooses: bool,
}

/// What the title, the icon and the clock show.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct State {
    #[schema(value_type = String)]
    pub(super) at: Timestamp,
    /// `ok`, `warn`, `crit` or `unk`.
    pub(super) state: &'static str,
    pub(super) title: String,
    /// The time of the day in the configured zone.
    pub(super) clock: String,
    pub(super) dead_letters: String,
    /// Of the script and the style: a page of another one loads itself again.
    pub(super) build: &'static str,
}

impl State {
    /// As it is now.
    pub(super) fn of(view: &View, said: &Said) -> State {
        let at = Timestamp::now();
        let sinks = view.journal.log.status().sinks;
        let dead_letters = sinks.iter().map(|sink| sink.dead_lettered).sum();
        State {
            at,
            state: said.state.as_str(),
            title: said.title.clone(),
            clock: clock(at, at, &view.setup.current().zone),
            dead_letters: grouped(dead_letters),
            build: &NAMES.build,
        }
    }
}

impl Frame {
    /// The frame of the page `page`.
    pub(super) fn new(view: &View, asker: &Asker, page: &'static str) -> Frame {
        let setup = view.setup.current();
        let said = view.verdict().said(asker.lang);
        let offset = Timestamp::now()
            .to_zoned(setup.zone.clone())
            .offset()
            .seconds();
        let journal = view.journal.log.path();
        Frame {
            l: asker.lang,
            page,
            style: &NAMES.style,
            script: &NAMES.script,
            host: setup.host.clone(),
            state: State::of(view, &said),
            offset: offset_name(offset),
            other_language: asker.other_language(),
            subject: String::new(),
            control_file: crate::ops::control::Access::path(journal)
                .display()
                .to_string(),
            chooses: asker.chooses,
        }
    }

    /// The answer that a page in this frame is.
    pub(super) fn answer(&self, page: &impl Template) -> Response {
        let html = match page.render() {
            Ok(html) => html,
            Err(error) => return super::failure::failure(&error.to_string()),
        };
        let mut answer = Html(html).into_response();
        if self.chooses {
            let lang = self.l.t("en", "zh");
            let cookie = format!("lang={lang}; Path=/; Max-Age={KEPT_SECONDS}; SameSite=Strict");
            if let Ok(cookie) = cookie.parse() {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
        }
        answer
    }
}

/// A zone's offset, such as `UTC+8` or `UTC-3:30`.
fn offset_name(seconds: i32) -> String {
    let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_named_by_its_offset() {
        let names = [0, 28_800, -12_600].map(offset_name);
        assert_eq!(names, ["UTC", "UTC+8", "UTC-3:30"]);
    }
}

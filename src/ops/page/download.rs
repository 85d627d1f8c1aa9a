//! The devices of a list as CSV, for a spreadsheet: all that the filters of the URL leave, not only a
//! page of them.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::asker::Asker;
use super::devices::filter;
use super::history;
use crate::model::Names;
use crate::ops::device_query::{self, Filter};
use crate::ops::view::View;
use crate::pipeline::Decoder;
use crate::sinks::Look;
use crate::sinks::history::reader::ReadError;

/// Without it a spreadsheet takes UTF-8 for the encoding of its own language.
const UTF8_MARK: char = '\u{feff}';

/// The file.
pub(super) async fn devices(State(view): State<View>, asker: Asker) -> Response {
    let setup = view.setup.current();
    let Some(look) = &setup.history else {
        let words = asker.lang.t(
            "the devices of a download come from a history, and none is configured\n",
            "下载的设备来自历史库，而配置中没有历史库\n",
        );
        return (StatusCode::NOT_FOUND, words.to_owned()).into_response();
    };
    let filter = filter(&asker);
    // Every topic has the same.
    let decoders = view.decoders.current();
    let names = decoders.values().find_map(Decoder::names);
    let file = in_file(look, &filter, names.map(|names| &**names));
    match history::asked(look, asker.lang, file).await {
        Ok(Some(csv)) => answer(&csv),
        Ok(None) => {
            let words = asker.lang.t(
                "more than 50,000 devices match: narrow the list by a state, client or province\n",
                "符合的设备超过 50,000 台：请按状态、客户端或省份缩小范围\n",
            );
            (StatusCode::UNPROCESSABLE_ENTITY, words.to_owned()).into_response()
        }
        Err(failure) => (StatusCode::SERVICE_UNAVAILABLE, failure + "\n").into_response(),
    }
}

async fn in_file(
    look: &Look,
    filter: &Filter,
    names: Option<&Names>,
) -> Result<Option<String>, ReadError> {
    let mut reader = look.open().await?;
    let csv = device_query::csv(&mut reader, filter, names).await?;
    reader.close().await;
    Ok(csv)
}

fn answer(csv: &str) -> Response {
    let name = "attachment; filename=\"devices.csv\"";
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name),
    ];
    (headers, format!("{UTF8_MARK}{csv}")).into_response()
}

//! Who asks for a page: the language that is wanted, and what the URL says.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use crate::ops::lang::Lang;

/// Bytes of a value of the URL that are looked at.
const VALUE_BYTES_MAX: usize = 512;

/// The request, as far as pages look at it.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) lang: Lang,
    /// The language was chosen just now: it is to be kept.
    pub(super) chooses: bool,
    /// The path, for the link to the other language.
    pub(super) path: String,
    query: BTreeMap<String, String>,
}

impl Asker {
    /// A value of the URL that is there and not empty.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let value = self.query.get(key).map(|value| value.trim());
        value.filter(|value| !value.is_empty() && value.len() <= VALUE_BYTES_MAX)
    }

    /// This page with other values in the URL, in the order of the keys; none: the key goes.
    pub(super) fn with(&self, changes: &[(&str, Option<&str>)]) -> String {
        let mut query = self.query.clone();
        query.remove("lang");
        for (key, value) in changes {
            match value {
                Some(value) => query.insert((*key).to_owned(), (*value).to_owned()),
                None => query.remove(*key),
            };
        }
        let mut url = url::form_urlencoded::Serializer::new(String::new());
        url.extend_pairs(
            query
                .iter()
                .filter(|(_, value)| value.len() <= VALUE_BYTES_MAX),
        );
        match url.finish() {
            query if query.is_empty() => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// This page in the other language.
    pub(super) fn other_language(&self) -> String {
        self.with(&[("lang", Some(self.lang.t("zh", "en")))])
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asker, Infallible> {
        let query = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri);
        let query = query.map(|Query(query)| query).unwrap_or_default();
        let chosen = query.get("lang").and_then(|name| Lang::named(name));
        Ok(Asker {
            lang: chosen.unwrap_or_else(|| Lang::of_request(&parts.headers)),
            chooses: chosen.is_some(),
            path: parts.uri.path().to_owned(),
            query,
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn asker(uri: &str, headers: &[(&str, &str)]) -> Asker {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let Ok(asker) = Asker::from_request_parts(&mut parts, &()).await;
        asker
    }

    #[tokio::test]
    async fn the_url_chooses_before_the_cookie_and_that_before_the_browser() {
        let chinese = ("accept-language", "zh-CN");
        assert_eq!(asker("/", &[chinese]).await.lang, Lang::Zh);
        let kept = ("cookie", "a=b; lang=en");
        assert_eq!(asker("/", &[chinese, kept]).await.lang, Lang::En);
        let chosen = asker("/?lang=zh", &[kept]).await;
        assert_eq!((chosen.lang, chosen.chooses), (Lang::Zh, true));
        assert_eq!(asker("/?lang=fr", &[]).await.lang, Lang::En);
    }

    #[tokio::test]
    async fn a_link_keeps_the_filters_and_writes_them_safely() {
        let asker = asker("/devices?state=%E6%95%85%E9%9A%9C&q=%22%26&lang=zh", &[]).await;
        assert_eq!(asker.value("q"), Some("\"&"));
        let link = asker.with(&[("after", Some("a/b")), ("state", None)]);
        assert_eq!(link, "/devices?after=a%2Fb&q=%22%26");
        let other = asker.other_language();
        assert!(
            other.ends_with("lang=en&q=%22%26&state=%E6%95%85%E9%9A%9C"),
            "{other}"
        );
        assert!(
            Asker {
                query: BTreeMap::from([("q".into(), "x".repeat(600))]),
                ..asker
            }
            .value("q")
            .is_none()
        );
    }
}

//! URLs and texts of servers as they may be shown.

use std::cmp::Reverse;

use url::Url;

use crate::pipeline::percent_encoded;
use crate::secret::Secret;

/// The URL without what may be secret in it: user, password and query.
pub(super) fn masked(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs that cannot have them.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}

/// The text without these secrets: as they are, and as a form or a URL has them.
pub(super) fn without_secrets(text: &str, secrets: &[Secret]) -> String {
    let secrets = secrets.iter().map(Secret::expose_secret);
    let mut spellings: Vec<String> = secrets
        .filter(|secret| !secret.is_empty())
        .flat_map(|secret| [secret.to_owned(), percent_encoded(secret)])
        .collect();
    // One may hold another, whose end would stay.
    spellings.sort_by_key(|spelling| Reverse(spelling.len()));
    spellings
        .iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

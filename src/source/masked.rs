//! A URL as it may be shown.

use url::Url;

/// The URL without what may be secret in it: user, password and query.
pub(super) fn masked(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs that cannot have them.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}

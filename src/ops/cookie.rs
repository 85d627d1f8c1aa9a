//! Reads a cookie of a request (RFC 6265, section 4.2).

use axum::http::{HeaderMap, header};

/// The value of a cookie.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut values = cookies.filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = values.find(|(known, _)| *known == name)?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "xa=0; a=1".parse().unwrap());
        headers.append(header::COOKIE, "b=2=3".parse().unwrap());
        assert_eq!(cookie(&headers, "a").as_deref(), Some("1"));
        assert_eq!(cookie(&headers, "b").as_deref(), Some("2=3"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}

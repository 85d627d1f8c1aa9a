//! Where a redirect leads to: what of that may be shown, and whether it is called as the pages are
//! where people sign in.

/// Somewhere in the last part of its path.
const NAMES: [&str; 5] = ["login", "logon", "signin", "sign-in", "sign_in"];

/// The whole of it.
const WHOLE_NAMES: [&str; 2] = ["sso", "cas"];

/// Beside one of [`NAMES`]: where a sign-in leads to that has worked, such as `/login-success`.
const BEHIND_IT: [&str; 3] = ["success", "after", "post"];

/// As it may be shown: without query, fragment and session, since tokens travel there.
pub(super) fn shown_location(location: &str) -> &str {
    let end = location.find(['?', '#', ';']);
    &location[..end.unwrap_or(location.len())]
}

/// Whether a URL, or the part of one that a `Location` may be, is a page where people sign in.
pub fn is_login_page(place: &str) -> bool {
    let place = shown_location(place);
    let path = match place.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => place,
    };
    let last = path.trim_end_matches('/').rsplit('/').next();
    let last = last.unwrap_or_default().to_ascii_lowercase();
    let has = |names: &[&str]| names.iter().any(|name| last.contains(name));
    WHOLE_NAMES.contains(&last.as_str()) || (has(&NAMES) && !has(&BEHIND_IT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_pages_are_known_by_the_last_part_of_their_path() {
        for place in [
            "/login",
            "http://h/app/login",
            "/login.html",
            "/login?failed",
            "login;jsessionid=1",
            "/user/Sign-In/",
            "/user/sign_in",
            "/logon.do",
            "/cas",
        ] {
            assert!(is_login_page(place), "{place}");
        }
        for place in [
            "",
            "/",
            "/home?from=login",
            "https://login.h",
            "https://login.h/ws",
            "/cases",
            "/login/done",
            "/loginSuccess",
            "/after-login",
        ] {
            assert!(!is_login_page(place), "{place}");
        }
    }
}

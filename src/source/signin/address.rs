//! Where the source dials, and where it signs in: a URL, whose query may have placeholders for what
//! a sign-in gives.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::credentials::Credentials;
use super::error::SigninError;
use super::template::SigninTemplate;
use crate::source::masked::masked;

/// An address to dial, or to sign in at. As a text it is what may be shown: without user and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
    query: Option<SigninTemplate>,
}

impl Address {
    /// A URL with a query in place of its own.
    pub fn new(url: Url, query: SigninTemplate) -> Address {
        Address {
            url,
            query: Some(query),
        }
    }

    /// The URL, but for what a sign-in would change in it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it has a query, of whatever kind.
    pub(super) fn has_query(&self) -> bool {
        self.query.is_some() || self.url.query().is_some()
    }

    /// The URL for one connection.
    ///
    /// # Errors
    /// A placeholder that the credentials have no value for.
    pub fn render(&self, credentials: &Credentials) -> Result<Url, SigninError> {
        let mut url = self.url.clone();
        if let Some(query) = &self.query {
            url.set_query(Some(query.render_in_url(credentials)?.expose_secret()));
        }
        Ok(url)
    }
}

impl From<Url> for Address {
    fn from(url: Url) -> Address {
        Address { url, query: None }
    }
}

impl FromStr for Address {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Address, url::ParseError> {
        Ok(text.parse::<Url>()?.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        masked(&self.url).fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::signin::Part;

    #[test]
    fn a_query_is_filled_for_each_connection_and_never_shown() {
        let query = SigninTemplate::new(vec![
            Part::Text("v=1&token=".to_owned()),
            Part::Signin("token".into()),
        ]);
        let address = Address::new("wss://h:8/ws".parse().unwrap(), query);
        let rendered = |token: &str| {
            let credentials =
                Credentials::new([("token".into(), token.into())], Default::default());
            address.render(&credentials).unwrap().to_string()
        };
        assert_eq!(rendered("a"), "wss://h:8/ws?v=1&token=a");
        assert_eq!(rendered("a&b=#%"), "wss://h:8/ws?v=1&token=a%26b%3D%23%25");
        assert_eq!(
            format!("{address} {address:?}"),
            "wss://h:8/ws wss://h:8/ws"
        );
        let plain: Address = "ws://u:p@h/ws?token=x".parse().unwrap();
        assert_eq!(plain.to_string(), "ws://h/ws");
        assert_eq!(
            plain.render(&Credentials::default()).unwrap().query(),
            Some("token=x")
        );
    }
}

//! One request of a sign-in: how it is asked, whether its answer accepts us, and which values are
//! taken out of it.

mod extract;

use std::time::Duration;

pub use extract::{AnswerPart, Extract};

use super::address::Address;
use super::body::BodyTemplate;
use super::credentials::Credentials;
use super::error::SigninError;
use super::outline;
use super::template::SigninTemplate;
use crate::pipeline::Conditions;
use crate::secret::Secret;
use crate::source::masked::masked;
use crate::tls;
use crate::transport::{Answer, Method, Proxies, Request, Stage, is_login_page};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// `http` or `https`.
    pub url: Address,
    /// The request's method.
    pub method: StepMethod,
    /// Sent with it.
    pub headers: Vec<(String, SigninTemplate)>,
    /// The answer that accepts us; `None`: any status from 200 to 299.
    pub expect: Option<Conditions>,
    /// The values to take out of the answer.
    pub extract: Vec<Extract>,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum StepMethod {
    /// Without a body.
    Get,
    /// With one.
    Post(BodyTemplate),
}

impl StepMethod {
    /// The method, with what was given so far.
    ///
    /// # Errors
    /// A placeholder that the credentials have no value for.
    pub(in crate::source) fn render(
        &self,
        credentials: &Credentials,
    ) -> Result<Method, SigninError> {
        Ok(match self {
            StepMethod::Get => Method::Get,
            StepMethod::Post(body) => Method::Post(body.render(credentials)?),
        })
    }
}

/// An answer to a sign-in is a few hundred bytes, or a token of a few thousand; a page with a form
/// is more.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What a browser accepts, which gets the page that a script would not.
const ACCEPT_PAGES: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

impl Step {
    /// The request, with what was given so far.
    pub(super) fn request(
        &self,
        credentials: &Credentials,
        tls: &tls::Settings,
        timeout: Duration,
    ) -> Result<Request, SigninError> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), value.render(credentials)?));
        }
        let names_accept = |(name, _): &(String, Secret)| name.eq_ignore_ascii_case("accept");
        if self.reads_a_page() && !headers.iter().any(names_accept) {
            headers.push(("Accept".to_owned(), ACCEPT_PAGES.into()));
        }
        Ok(Request {
            url: self.url.render(credentials)?,
            method: self.method.render(credentials)?,
            headers,
            cookies: credentials.cookies().clone(),
            tls: tls.clone(),
            proxies: Proxies::of_environment(),
            stage: Stage::Signin,
            timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
        })
    }

    /// Whether it sends something of ours, which the server may count as a wrong password.
    pub(super) fn sends_ours(&self) -> bool {
        let has_body = match &self.method {
            StepMethod::Get | StepMethod::Post(BodyTemplate::Empty) => false,
            StepMethod::Post(BodyTemplate::Json(_) | BodyTemplate::Form(_)) => true,
        };
        has_body || !self.headers.is_empty() || self.url.has_query()
    }

    /// Whether it sends the same as another step, whatever it makes of the answer.
    pub(super) fn asks_as(&self, other: &Step) -> bool {
        let asked = |step: &Step| (step.url.clone(), step.method.clone(), step.headers.clone());
        asked(self) == asked(other)
    }

    fn reads_a_page(&self) -> bool {
        let is_input = |extract: &Extract| matches!(extract.part, AnswerPart::Input(_));
        self.extract.iter().any(is_input)
    }

    /// What was given so far, and what the answer gives. `paths` are those of the whole sign-in.
    pub(super) fn read(
        &self,
        answer: Answer,
        before: &Credentials,
        paths: &[&str],
    ) -> Result<Credentials, SigninError> {
        self.judge(&answer, paths)?;
        let values = self.extract(&answer)?;
        Ok(before.with(values, answer.cookies))
    }

    fn judge(&self, answer: &Answer, paths: &[&str]) -> Result<(), SigninError> {
        let (url, status) = (&self.url, answer.status);
        if let Some(address) = self.moved_to(answer) {
            return Err(SigninError::Refused(format!(
                "{url} answered {status}: the sign-in is at another address; set url to {address}"
            )));
        }
        if self.leads_back(answer, paths) {
            let location = answer.location().unwrap_or_default();
            return Err(SigninError::Refused(format!(
                "{url} answered {status} (to {location}), which leads back to the sign-in; check \
                 the user and password, and whether the form wants a CSRF token (a first step \
                 with extract = {{ csrf = {{ input = \"_csrf\" }} }})"
            )));
        }
        let unmet = match &self.expect {
            None if (200..300).contains(&status) => return Ok(()),
            None => None,
            Some(expect) => match expect.unmet(status, &answer.text()) {
                None => return Ok(()),
                unmet => unmet,
            },
        };
        // A platform's own words at a status of trouble; 502 and above are a gateway's.
        let is_denied = status < 502
            && (self.expect.as_ref()).is_some_and(|expect| expect.is_denied(&answer.text()));
        let advice = if is_denied && status >= 500 {
            OTHER_ANSWER.to_owned()
        } else if self.expect.is_none() && status == 500 && answer.text().starts_with('{') {
            format!("{}; {SAY_WHAT_IS_RIGHT}", advice(answer))
        } else {
            advice(answer)
        };
        let told = match unmet {
            Some(unmet) => format!(
                "{url} answered {status}{}, but expect wants {unmet}; {advice}",
                self.said(answer),
            ),
            None => format!("{url} answered {status}{}; {advice}", self.said(answer)),
        };
        if let Some(after) = answer.retry_after() {
            return Err(SigninError::Busy { text: told, after });
        }
        Err(match status {
            // A gateway answers so while the service behind it starts; the others say themselves
            // that they will pass.
            404 | 408 | 425 | 500..=599 if !is_denied => SigninError::Trouble(told),
            _ => SigninError::Refused(told),
        })
    }

    /// Where a redirect leads to the same path at another scheme, host or port: the address that
    /// should have been asked. Never from TLS to clear text: a proxy that ends TLS makes a server
    /// write such addresses.
    fn moved_to(&self, answer: &Answer) -> Option<String> {
        let ours = self.url.url();
        let there = ours.join(answer.redirect()?).ok()?;
        let is_downgrade = ours.scheme() == "https" && there.scheme() != "https";
        let is_moved = there.origin() != ours.origin() && there.path() == ours.path();
        (is_moved && !is_downgrade && !has_error(there.query().unwrap_or_default()))
            .then(|| masked(&there).to_string())
    }

    /// Whether a redirect leads to where we come from, as login pages answer a wrong password: with
    /// `error` in the query, or to a login page. A request with nothing of ours may be led to one;
    /// it must only not be one of `paths`.
    fn leads_back(&self, answer: &Answer, paths: &[&str]) -> bool {
        let Some(location) = answer.redirect() else {
            return false;
        };
        let query = location.split_once('?').map_or("", |(_, query)| query);
        let is_ours = || {
            let there = self.url.url().join(location);
            there.is_ok_and(|there| paths.contains(&there.path()))
        };
        has_error(query) || (is_login_page(location) && (self.sends_ours() || is_ours()))
    }

    /// What a person should read of an answer that lets nobody in.
    fn said(&self, answer: &Answer) -> String {
        if let Some(location) = answer.location() {
            return format!(" (to {location})");
        }
        let is_text = |extract: &Extract| extract.part == AnswerPart::Text;
        if (200..300).contains(&answer.status) && self.extract.iter().any(is_text) {
            return String::new();
        }
        match outline::excerpt(answer.bytes(), self.pointers()) {
            said if said.is_empty() => said,
            said => format!(" ({said})"),
        }
    }
}

/// Whether a query has the key `error`, as Spring Security's login page has it.
fn has_error(query: &str) -> bool {
    let mut keys = query
        .split(['&', '#'])
        .map(|pair| pair.split('=').next().unwrap_or_default());
    keys.any(|key| key == "error")
}

/// What to do about an answer that is another than the expected one.
const OTHER_ANSWER: &str = "check the user and password in source.signin, and its expect";

/// What to do where trouble may be a refusal, which is asked again more slowly.
const SAY_WHAT_IS_RIGHT: &str = "if it answers a wrong password so, write in expect what its JSON \
                                 says to a right one, such as { \"/code\" = 200 }";

fn advice(answer: &Answer) -> String {
    let advice = match answer.status {
        300..=399 if !answer.cookies_set.is_empty() => {
            return format!(
                "redirects are not followed; the answer came with the cookie {}: if that is the \
                 sign-in, as of a form login, write expect = {{ status = {} }}",
                answer.cookies_set.join(", "),
                answer.status
            );
        }
        300..=399 => {
            "redirects are not followed: set source.signin.url to the address that it leads to; a \
             sign-in answers 200, or what expect says"
        }
        400 | 422 => {
            "check source.signin: the names in json or form, and which of them the server wants"
        }
        401 => "check the user and password in source.signin",
        403 => {
            "check the user and password in source.signin, and whether the server wants a CSRF \
             token"
        }
        404 | 405 => "check source.signin: url and method",
        408 | 425 => "it is tried again",
        415 => {
            "check source.signin: the server may want form in place of json, or json in place of form"
        }
        429 => "too many sign-ins: it is tried again later",
        500..=599 => "the server or a proxy before it is in trouble: see its log",
        200..=299 => OTHER_ANSWER,
        _ => "check source.signin and the server's log",
    };
    advice.to_owned()
}

//! What every answer tells beside what was asked: for whoever looks for what is wrong.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::DATE;
use reqwest::{Method, Response};

use super::{Client, ClientError};
use crate::PLATFORM_VERSION;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// What the platform's clock says.
    pub clock: Option<Timestamp>,
    /// Only those who are logged in are told.
    pub version: Option<String>,
}

impl Client {
    /// Whether there is an answer at all, whatever it is. Not tried again.
    pub async fn greet(&self) -> Result<Greeting, ClientError> {
        let response = self
            .request(Method::GET, &["account"])?
            .send()
            .await
            .map_err(|source| ClientError::unreachable(self.base_url(), source))?;
        let clock = header(&response, DATE.as_str());
        Ok(Greeting {
            clock: clock.and_then(|date| rfc2822::parse(date).ok().map(|at| at.timestamp())),
            version: header(&response, PLATFORM_VERSION).map(str::to_owned),
        })
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = rfc2822::parse(date).unwrap().timestamp();
        assert_eq!(at.to_string(), "1994-11-06T08:49:37Z");
    }
}

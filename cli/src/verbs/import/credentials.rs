//! Which token goes to the other side, and which must not.

use anyhow::Result;
use controller_api::Secret;
use url::Url;

use super::fetch::host;
use super::netrc;
use crate::failure::Failure;
use crate::session::Session;

/// The variable with the token for that host: Heroku's own is for Heroku and for nobody else.
fn variable(base: &Url) -> &'static str {
    if is_heroku(base) {
        "HEROKU_API_KEY"
    } else {
        "PAAS_IMPORT_TOKEN"
    }
}

/// `heroku.com` and what is below it, at whatever port.
pub(super) fn is_heroku(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    host == "heroku.com" || host.ends_with(".heroku.com")
}

/// What the user gave for that host; never what is for another.
pub(super) fn token(base: &Url, ours: &Session) -> Result<Secret<String>> {
    let variable = variable(base);
    let from_environment = std::env::var(variable).ok();
    let token = match from_environment.filter(|token| !token.trim().is_empty()) {
        Some(token) => Secret::new(token.trim().to_owned()),
        None => netrc::password(&host(base))?.ok_or_else(|| no_token(base))?,
    };
    let is_ours = ours.token.as_ref() == Some(token.expose()) && ours.api.origin() != base.origin();
    match misplaced(base, &token, is_ours) {
        Some(failure) => Err(failure.into()),
        None => Ok(token),
    }
}

/// Why the token must not go there, if it is another's by its looks.
fn misplaced(base: &Url, token: &Secret<String>, is_ours: bool) -> Option<Failure> {
    let (host, variable) = (host(base), variable(base));
    let refuse = |whose: &str| {
        Failure::new(format!(
            "The token for {host} is one of {whose}, and was not sent there"
        ))
    };
    let begins_with = |mark: &str| token.expose().starts_with(mark);
    if is_heroku(base) && (is_ours || begins_with("paas_")) {
        return Some(refuse("this platform").advise(format!(
            "`paas heroku-env` sets {variable} so. Give Heroku's own: export {variable}=\"$(env -u HEROKU_API_KEY -u HEROKU_HOST heroku auth:token)\""
        )));
    }
    if is_ours {
        return Some(refuse("this platform").advise(format!(
            "Set {variable} to a token that {host} gave, or correct the one in ~/.netrc."
        )));
    }
    (!is_heroku(base) && begins_with("HRKU-")).then(|| {
        refuse("Heroku's").advise(format!(
            "Set {variable} to a token that {host} gave, or correct the one in ~/.netrc. To read from Heroku, leave out --from-url."
        ))
    })
}

fn no_token(base: &Url) -> Failure {
    let host = host(base);
    let failure = Failure::new(format!("There is no token for {host}"));
    if is_heroku(base) {
        failure.advise(format!(
            "Give it in HEROKU_API_KEY: export HEROKU_API_KEY=\"$(heroku auth:token)\"\n\
             Or in ~/.netrc, where `heroku login` leaves it on machines without a keychain: machine {host} login EMAIL password TOKEN"
        ))
    } else {
        failure.advise(format!(
            "Give one of that platform's in PAAS_IMPORT_TOKEN. HEROKU_API_KEY is not sent there.\n\
             Or in ~/.netrc: machine {host} login EMAIL password TOKEN"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_whom_it_is_of_and_to_nobody_else() {
        let misplaced = |url: &str, token: &str, is_ours| {
            let failure = misplaced(&url.parse().unwrap(), &Secret::from(token), is_ours);
            failure.map(|failure| failure.to_string())
        };
        for url in [
            "https://api.heroku.com",
            "https://heroku.com",
            "https://API.Heroku.com.:8443",
        ] {
            assert_eq!(variable(&url.parse().unwrap()), "HEROKU_API_KEY", "{url}");
            assert_eq!(misplaced(url, "HRKU-1", false), None, "{url}");
            assert_eq!(misplaced(url, "a-uuid", false), None, "{url}");
            for (token, is_ours) in [("paas_1", false), ("a-uuid", true)] {
                let why = misplaced(url, token, is_ours).unwrap();
                assert!(why.contains("is one of this platform,"), "{why}");
            }
        }
        for url in [
            "https://api.notheroku.com",
            "https://heroku.com.example",
            "https://api.other-paas.example.com",
        ] {
            assert_eq!(
                variable(&url.parse().unwrap()),
                "PAAS_IMPORT_TOKEN",
                "{url}"
            );
            assert_eq!(misplaced(url, "paas_1", false), None, "{url}");
            let why = misplaced(url, "HRKU-1", false).unwrap();
            assert!(why.contains("is one of Heroku's,"), "{why}");
            let why = misplaced(url, "paas_1", true).unwrap();
            assert!(why.contains("is one of this platform,"), "{why}");
        }
    }
}

//! Whether somebody is let in, and as what: pure, of claims that were verified.

use model::{Email, Identity};
use serde::{Deserialize, Serialize};

use super::Person;
use crate::config::OidcConfig;

const MAX_CLAIM: usize = 255;

/// Somebody who may come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) email: Email,
    pub(crate) name: Option<String>,
    /// `None` where the provider does not say who is an administrator.
    pub(crate) is_admin: Option<bool>,
}

/// Or why somebody may not, in words for him.
pub(crate) fn admit(config: &OidcConfig, person: Person) -> Result<Admitted, &'static str> {
    let email: Email = person
        .email
        .as_deref()
        .and_then(|email| email.parse().ok())
        .ok_or("Your identity provider tells no e-mail address of yours.")?;
    if !person.email_verified {
        return Err("Your identity provider has not verified your e-mail address.");
    }
    let domain = email.as_str().rsplit('@').next().unwrap_or_default();
    let is_allowed = |of: &String| of.eq_ignore_ascii_case(domain);
    if !config.allowed_domains.is_empty() && !config.allowed_domains.iter().any(is_allowed) {
        return Err("E-mail addresses of your domain are not let in here.");
    }
    let is_member = |group: &String| person.groups.contains(group);
    if !config.allowed_groups.is_empty() && !config.allowed_groups.iter().any(is_member) {
        return Err("You are in none of the groups that are let in here.");
    }
    if person.identity.subject.is_empty() || person.identity.subject.len() > MAX_CLAIM {
        return Err("Your identity provider does not say who you are.");
    }
    Ok(Admitted {
        is_admin: config.admin_group.as_ref().map(is_member),
        identity: person.identity,
        email,
        name: person.name.filter(|name| {
            !name.is_empty() && name.len() <= 200 && !name.chars().any(char::is_control)
        }),
    })
}

/// Whether somebody is an administrator, be he known here already or on his way in. The provider's word counts, where it has
/// one; only who has a password here, which is no invitation, may be made one by people here against it.
pub(crate) const fn is_admin(says: Option<bool>, here: bool, has_password: bool) -> bool {
    match says {
        Some(true) => true,
        Some(false) => here && has_password,
        None => here,
    }
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://id.example.com".to_owned(),
            client_id: "paas".to_owned(),
            client_secret: Secret::from("secret"),
            scopes: Vec::new(),
            groups_claim: "groups".to_owned(),
            allowed_domains: vec!["example.com".to_owned()],
            allowed_groups: Vec::new(),
            admin_group: None,
            create_accounts: false,
            ca: None,
        }
    }

    fn person(email: &str, groups: &[&str]) -> Person {
        Person {
            identity: Identity {
                issuer: "https://id.example.com".to_owned(),
                subject: "1".to_owned(),
            },
            email: Some(email.to_owned()),
            email_verified: true,
            name: Some("Ann".to_owned()),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }
    }

    #[test]
    fn only_verified_addresses_of_allowed_domains_are_let_in() {
        let admitted = admit(&config(), person("Ann@Example.com", &[])).unwrap();
        assert_eq!(admitted.is_admin, None);
        for bad in [
            "ann@example.com.evil.org",
            "ann@notexample.com",
            "ann@sub.example.com",
            "ann",
        ] {
            assert!(admit(&config(), person(bad, &[])).is_err(), "{bad}");
        }
        let unverified = Person {
            email_verified: false,
            ..person("ann@example.com", &[])
        };
        assert!(
            admit(&config(), unverified)
                .unwrap_err()
                .contains("not verified")
        );
        let nameless = Person {
            email: None,
            ..person("", &[])
        };
        assert!(admit(&config(), nameless).is_err());
    }

    #[test]
    fn groups_let_in_and_make_administrators() {
        let config = OidcConfig {
            allowed_groups: vec!["developers".to_owned(), "operators".to_owned()],
            admin_group: Some("operators".to_owned()),
            ..config()
        };
        for (groups, outcome) in [
            (&[][..], None),
            (&["other"], None),
            (&["developers"], Some(Some(false))),
            (&["operators", "other"], Some(Some(true))),
        ] {
            let admitted = admit(&config, person("ann@example.com", groups)).ok();
            assert_eq!(
                admitted.map(|admitted| admitted.is_admin),
                outcome,
                "{groups:?}"
            );
        }
    }

    #[test]
    fn one_rule_says_who_is_an_administrator_whichever_way_he_came() {
        for (says, here, has_password, is) in [
            // Nothing is said of it: as here, invitations among it.
            (None, true, false, true),
            (None, false, true, false),
            (Some(true), false, false, true),
            // Made one here, by who has a password; and invited as one, but by no group.
            (Some(false), true, true, true),
            (Some(false), true, false, false),
            (Some(false), false, true, false),
        ] {
            assert_eq!(
                is_admin(says, here, has_password),
                is,
                "{says:?} {here} {has_password}"
            );
        }
    }
}

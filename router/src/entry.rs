//! Who comes in, how, and to which app: what the app that has a request's host name says of it, once per request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use model::AppId;
use rand::Rng;

use crate::affinity::Tag;
use crate::fault::Fault;
use crate::limiter::Verdict;
use crate::rules::Rules;
use crate::table::App;

/// A request that was let in by an app that has rules.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) front: Arc<App>,
    /// Another app answers.
    pub(crate) sent_to: Option<AppId>,
    /// The path that led there, if it did and dynos are to be come back to.
    pub(crate) prefix: Option<String>,
    /// The dyno it would go back to.
    pub(crate) wanted: Option<Tag>,
}

/// The client is to ask elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
}

/// What a decision is made by.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) client: IpAddr,
    pub(crate) method: &'a [u8],
    pub(crate) host: &'a str,
    /// With the query.
    pub(crate) path: &'a [u8],
    pub(crate) is_https: bool,
    pub(crate) cookies: Option<&'a [u8]>,
    /// Of HTTP and HTTPS, as clients know them.
    pub(crate) ports: (u16, u16),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    In {
        sent_to: Option<AppId>,
        prefix: Option<String>,
        wanted: Option<Tag>,
    },
    Redirect(Redirect),
    Refuse {
        fault: Fault,
        /// Whether the app's log says so.
        is_told: bool,
    },
}

/// `has_dyno`: whether the app has a dyno of that tag.
pub(crate) fn decide(
    rules: &Rules,
    visit: &Visit<'_>,
    now: Instant,
    has_dyno: impl Fn(Option<AppId>, Tag) -> bool,
    rng: &mut impl Rng,
) -> Decision {
    let routing = &rules.routing;
    if !routing.admits(visit.client) {
        return Decision::Refuse {
            fault: Fault::NotAllowed,
            is_told: true,
        };
    }
    if let Some(limiter) = &rules.limiter
        && let Verdict::Refuse { wait, is_first } = limiter.ask(visit.client, now)
    {
        let wait = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
        return Decision::Refuse {
            fault: Fault::OverLimit {
                wait: wait.saturating_add(1),
            },
            is_told: is_first,
        };
    }
    if let Some(redirect) = redirect(rules, visit) {
        return Decision::Redirect(redirect);
    }
    let wanted = match routing.session_affinity {
        true => visit.cookies.and_then(Tag::in_cookies),
        false => None,
    };
    let at_path = routing.at_path(visit.path);
    let prefix = at_path.filter(|_| routing.session_affinity);
    let sent_to = at_path.map(|route| route.app).or_else(|| {
        let canary = routing.canary?;
        if let Some(tag) = wanted {
            if has_dyno(None, tag) {
                return None;
            }
            if has_dyno(Some(canary.app), tag) {
                return Some(canary.app);
            }
        }
        (rng.random_range(0..100) < canary.percent).then_some(canary.app)
    });
    Decision::In {
        sent_to,
        prefix: prefix.map(|route| route.prefix.clone()),
        wanted,
    }
}

fn redirect(rules: &Rules, visit: &Visit<'_>) -> Option<Redirect> {
    let to_https = rules.routing.https_only && !visit.is_https;
    let to_host = rules
        .canonical_host
        .as_ref()
        .map(|host| host.as_str())
        .filter(|host| *host != visit.host);
    if !to_https && to_host.is_none() {
        return None;
    }
    let is_https = to_https || visit.is_https;
    let host = to_host.unwrap_or(visit.host);
    let (http_port, https_port) = visit.ports;
    let (scheme, port, usual) = match is_https {
        true => ("https", https_port, 443),
        false => ("http", http_port, 80),
    };
    let port = match port == usual {
        true => String::new(),
        false => format!(":{port}"),
    };
    let path = if visit.path == b"*" { b"/" } else { visit.path };
    let path = String::from_utf8_lossy(path);
    // Browsers ask again with GET after the one, and with the same method and body after the other.
    let status = match visit.method {
        b"GET" | b"HEAD" => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    Some(Redirect {
        status,
        location: format!("{scheme}://{host}{port}{path}"),
    })
}

#[cfg(test)]
mod tests {
    use model::{Canary, PathRoute, Routing};

    use super::*;

    const VISIT: Visit<'static> = Visit {
        client: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        method: b"GET",
        host: "app.paas.test",
        path: b"/a?b",
        is_https: false,
        cookies: None,
        ports: (80, 443),
    };

    fn decided(routing: Routing, visit: &Visit<'_>) -> Decision {
        let hosts = ["app.paas.test", "www.example.com"].map(|host| host.parse().unwrap());
        let rules = Rules::of(routing, &hosts, None).unwrap();
        decide(
            &rules,
            visit,
            Instant::now(),
            |_, _| false,
            &mut rand::rng(),
        )
    }

    fn location(routing: &Routing, visit: &Visit<'_>) -> (u16, String) {
        match decided(routing.clone(), visit) {
            Decision::Redirect(to) => (to.status.as_u16(), to.location),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_redirect_leads_to_where_all_is_as_it_should_be() {
        let https = Routing {
            https_only: true,
            ..Routing::default()
        };
        let both = Routing {
            canonical_host: Some("www.example.com".parse().unwrap()),
            ..https.clone()
        };
        let expected = (301, "https://app.paas.test/a?b".to_owned());
        assert_eq!(location(&https, &VISIT), expected);
        let expected = (301, "https://www.example.com/a?b".to_owned());
        assert_eq!(location(&both, &VISIT), expected);
        let post = Visit {
            method: b"POST",
            ports: (8080, 8443),
            ..VISIT
        };
        let expected = (308, "https://www.example.com:8443/a?b".to_owned());
        assert_eq!(location(&both, &post), expected);
        let fine = Visit {
            is_https: true,
            host: "www.example.com",
            ..VISIT
        };
        assert!(matches!(decided(both, &fine), Decision::In { .. }));
    }

    #[test]
    fn nobody_is_sent_to_a_name_that_is_not_the_apps_any_more() {
        let routing = Routing {
            canonical_host: Some("gone.example.com".parse().unwrap()),
            ..Routing::default()
        };
        assert!(matches!(decided(routing, &VISIT), Decision::In { .. }));
    }

    #[test]
    fn who_is_not_allowed_is_refused_before_anything_else() {
        let routing = Routing {
            https_only: true,
            deny: vec!["192.0.2.0/24".parse().unwrap()],
            ..Routing::default()
        };
        let refused = decided(routing, &VISIT);
        let expected = Decision::Refuse {
            fault: Fault::NotAllowed,
            is_told: true,
        };
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_canary_gets_its_share_and_a_path_all_of_its_own() {
        let (canary, api) = (AppId::new(), AppId::new());
        let routing = Routing {
            canary: Some(Canary {
                app: canary,
                percent: 25,
            }),
            paths: vec![PathRoute {
                prefix: "/api".to_owned(),
                app: api,
            }],
            ..Routing::default()
        };
        let sent = |path: &'static [u8]| {
            let visit = Visit { path, ..VISIT };
            let one = || match decided(routing.clone(), &visit) {
                Decision::In { sent_to, .. } => sent_to,
                other => panic!("{other:?}"),
            };
            (0..2000).map(|_| one()).collect::<Vec<_>>()
        };
        assert!(sent(b"/api/x").iter().all(|to| *to == Some(api)));
        let share = sent(b"/x").iter().filter(|to| **to == Some(canary)).count();
        assert!((300..700).contains(&share), "{share} of 2000");
    }

    #[test]
    fn a_session_stays_with_the_app_that_has_its_dyno() {
        let canary = AppId::new();
        let routing = Routing {
            session_affinity: true,
            canary: Some(Canary {
                app: canary,
                percent: 0,
            }),
            ..Routing::default()
        };
        let tag = Tag::of(model::DynoId::new());
        let cookies = tag.set_cookie("/", false);
        let visit = Visit {
            cookies: Some(cookies.as_bytes()),
            ..VISIT
        };
        let rules = Rules::of(routing, &[], None).unwrap();
        let at_canary = |app: Option<AppId>, _| app.is_some();
        let decision = decide(&rules, &visit, Instant::now(), at_canary, &mut rand::rng());
        let expected = Decision::In {
            sent_to: Some(canary),
            prefix: None,
            wanted: Some(tag),
        };
        assert_eq!(decision, expected);
    }
}

//! An app's wishes for how its requests are treated, made ready to be acted upon.

use std::sync::Arc;

use model::{Hostname, Hsts, Routing};

use crate::limiter::Limiter;

#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) routing: Routing,
    pub(crate) limiter: Option<Arc<Limiter>>,
    /// The value of `Strict-Transport-Security`.
    pub(crate) hsts: Option<String>,
    /// A name that still leads to the app.
    pub(crate) canonical_host: Option<Hostname>,
}

impl Rules {
    /// `None`: it has none. `before` are those that these take the place of: who has used up a limit then has done so now.
    pub(crate) fn of(
        routing: Routing,
        hosts: &[Hostname],
        before: Option<&Self>,
    ) -> Option<Box<Self>> {
        if routing.is_default() {
            return None;
        }
        let limiter = routing.rate_limit.map(|limit| {
            let same = before
                .and_then(|before| before.limiter.clone())
                .filter(|limiter| *limiter.limit() == limit);
            same.unwrap_or_else(|| Arc::new(Limiter::new(limit)))
        });
        let canonical_host = routing
            .canonical_host
            .clone()
            .filter(|host| hosts.contains(host));
        Some(Box::new(Self {
            limiter,
            hsts: routing.hsts.map(hsts),
            canonical_host,
            routing,
        }))
    }
}

fn hsts(hsts: Hsts) -> String {
    let mut value = format!("max-age={}", hsts.max_age);
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value
}

//! Which of an app's dynos takes a request: the less loaded of two random ones.

use std::sync::Arc;
use std::time::Instant;

use rand::Rng;

use crate::affinity::Tag;
use crate::backend::Backend;

#[derive(Debug)]
pub(crate) enum Pick<'a> {
    Backend(&'a Arc<Backend>),
    /// Every one was tried by this request already.
    Tried,
    /// Those that were not tried could not be connected to a moment ago.
    Quarantined,
}

/// `tried` holds serials. `backends` must not be empty.
pub(crate) fn pick<'a>(
    backends: &'a [Arc<Backend>],
    tried: &[u64],
    now: Instant,
    rng: &mut impl Rng,
) -> Pick<'a> {
    let possible =
        |backend: &Arc<Backend>| !backend.is_quarantined(now) && !tried.contains(&backend.serial);
    let fit = |backend: &Arc<Backend>| possible(backend) && !backend.is_on_silent_host(now);
    // Nearly always the two drawn are fit, and no list has to be made.
    let (first, second) = draw_two(backends.len(), rng);
    let (first, second) = (&backends[first], &backends[second]);
    match (fit(first), fit(second)) {
        (true, true) => return Pick::Backend(less_loaded(first, second)),
        (true, false) if backends.len() == 2 => return Pick::Backend(first),
        (false, true) if backends.len() == 2 => return Pick::Backend(second),
        _ => {}
    }
    let mut rest: Vec<_> = backends.iter().filter(|backend| fit(backend)).collect();
    if rest.is_empty() {
        // Silent to others is better than nobody, and may be a neighbour's fault.
        rest = backends
            .iter()
            .filter(|backend| possible(backend))
            .collect();
    }
    if rest.is_empty() {
        let all_tried = backends
            .iter()
            .all(|backend| tried.contains(&backend.serial));
        return if all_tried || !tried.is_empty() {
            Pick::Tried
        } else {
            Pick::Quarantined
        };
    }
    let (first, second) = draw_two(rest.len(), rng);
    Pick::Backend(less_loaded(rest[first], rest[second]))
}

/// The dyno that goes by the tag, if it is one to be asked now.
pub(crate) fn fit<'a>(
    backends: &'a [Arc<Backend>],
    tag: Tag,
    tried: &[u64],
    now: Instant,
) -> Option<&'a Arc<Backend>> {
    backends.iter().find(|backend| {
        backend.tag == Some(tag)
            && !tried.contains(&backend.serial)
            && !backend.is_quarantined(now)
            && !backend.is_on_silent_host(now)
    })
}

/// Whether another than `picked` could take the request, should that one fail to.
pub(crate) fn has_other(
    backends: &[Arc<Backend>],
    picked: &Backend,
    tried: &[u64],
    now: Instant,
) -> bool {
    backends.iter().any(|backend| {
        backend.serial != picked.serial
            && !tried.contains(&backend.serial)
            && !backend.is_quarantined(now)
            && !backend.is_on_silent_host(now)
    })
}

/// Two different indices, or twice 0 when there is only one.
fn draw_two(len: usize, rng: &mut impl Rng) -> (usize, usize) {
    if len < 2 {
        return (0, 0);
    }
    let first = rng.random_range(0..len);
    let second = (first + rng.random_range(1..len)) % len;
    (first, second)
}

fn less_loaded<'a>(first: &'a Arc<Backend>, second: &'a Arc<Backend>) -> &'a Arc<Backend> {
    if second.load() < first.load() {
        second
    } else {
        first
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::DynoId;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use tokio::sync::Notify;

    use super::*;
    use crate::backend::{BackendId, InFlight};
    use crate::silence::Host;

    fn backends(count: u64) -> Vec<Arc<Backend>> {
        let hosts = [Arc::new(Host::new()), Arc::new(Host::new())];
        let make = |serial| {
            let on_first = serial < 2;
            let addr = ([127, 0, 0, if on_first { 1 } else { 2 }], 1).into();
            let id = BackendId::Dyno(DynoId::new());
            Arc::new(Backend::new(
                serial,
                id,
                format!("web.{serial}"),
                addr,
                hosts[usize::from(!on_first)].clone(),
                Arc::new(Notify::new()),
            ))
        };
        (0..count).map(make).collect()
    }

    fn picked(backends: &[Arc<Backend>], tried: &[u64], rng: &mut StdRng) -> Option<u64> {
        match pick(backends, tried, Instant::now(), rng) {
            Pick::Backend(backend) => Some(backend.serial),
            Pick::Tried | Pick::Quarantined => None,
        }
    }

    #[test]
    fn the_most_loaded_of_several_is_never_picked_and_the_rest_all_are() {
        let (backends, mut rng) = (backends(4), StdRng::seed_from_u64(1));
        let _load: Vec<_> = (0..3)
            .map(|_| InFlight::begin(backends[2].clone()))
            .collect();
        let mut seen = [0; 4];
        for _ in 0..1000 {
            seen[usize::try_from(picked(&backends, &[], &mut rng).unwrap()).unwrap()] += 1;
        }
        assert_eq!(seen[2], 0);
        assert!(
            seen.iter().filter(|count| **count > 200).count() == 3,
            "{seen:?}"
        );
    }

    #[test]
    fn tried_and_quarantined_ones_are_passed_over() {
        let (backends, mut rng) = (backends(3), StdRng::seed_from_u64(2));
        backends[0].quarantine(Duration::from_secs(5));
        for _ in 0..100 {
            assert_eq!(picked(&backends, &[1], &mut rng), Some(2));
        }
        assert!(matches!(
            pick(&backends, &[1, 2], Instant::now(), &mut rng),
            Pick::Tried
        ));
        backends[1].quarantine(Duration::from_secs(5));
        backends[2].quarantine(Duration::from_secs(5));
        assert!(matches!(
            pick(&backends, &[], Instant::now(), &mut rng),
            Pick::Quarantined
        ));
        let later = Instant::now() + Duration::from_secs(6);
        assert!(matches!(
            pick(&backends, &[], later, &mut rng),
            Pick::Backend(_)
        ));
    }

    #[test]
    fn a_silent_host_is_passed_over_with_all_that_is_on_it_unless_nothing_else_is_left() {
        let (backends, mut rng, began) = (backends(4), StdRng::seed_from_u64(3), Instant::now());
        assert!(has_other(&backends, &backends[0], &[1, 2], began));
        assert!(backends[0].host().was_silent(began, Duration::from_secs(5)));
        for _ in 0..100 {
            assert!(picked(&backends, &[], &mut rng).is_some_and(|serial| serial >= 2));
        }
        assert!(!has_other(&backends, &backends[2], &[3], Instant::now()));
        assert!(picked(&backends, &[2, 3], &mut rng).is_some_and(|serial| serial < 2));
        backends[1].has_connected();
        assert!(has_other(&backends, &backends[2], &[3], Instant::now()));
    }
}

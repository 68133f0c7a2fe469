//! The result, as a table to paste.

use std::fmt::Write as _;

use crate::Measured;
use crate::case::Case;
use crate::peers::Peer;

/// Ratios to nginx by rounds, then the median; nginx's own figure is in microseconds.
pub(crate) fn render(rows: &[(&Case, Measured)]) -> String {
    let mut text = "| case | nginx, µs of CPU a request |".to_owned();
    let peers: Vec<Peer> = rows.first().map_or(Vec::new(), |(_, measured)| {
        let others = measured.iter().map(|(peer, _)| *peer);
        others.filter(|peer| *peer != Peer::Nginx).collect()
    });
    for peer in &peers {
        let _ = write!(text, " {} / nginx |", peer.name());
    }
    let _ = write!(
        text,
        " target |\n|---|---|{}---|",
        "---|".repeat(peers.len())
    );
    for (case, measured) in rows {
        let of = |peer| {
            measured
                .iter()
                .find_map(|(of, figures)| (*of == peer).then_some(figures.as_slice()))
                .unwrap_or_default()
        };
        let nginx = of(Peer::Nginx);
        let _ = write!(text, "\n| {} | {:.1} |", case.name, median(nginx.to_vec()));
        for peer in &peers {
            let ratios = of(*peer)
                .iter()
                .zip(nginx)
                .map(|(ours, theirs)| ours / theirs);
            let _ = write!(text, " {:.2} |", median(ratios.collect()));
        }
        let _ = write!(text, " {:.2} |", case.target);
    }
    text
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    #[test]
    fn ratios_are_of_the_same_round() {
        let measured = vec![
            (Peer::Nginx, vec![10.0, 20.0, 40.0]),
            (Peer::Paas, vec![8.0, 10.0, 30.0]),
        ];
        let text = render(&[(&CASES[0], measured)]);
        assert!(text.ends_with("| 20.0 | 0.75 | 0.80 |"), "{text}");
    }
}

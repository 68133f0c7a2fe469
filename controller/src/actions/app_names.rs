//! Names for apps whose makers did not think of one.

use model::AppName;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

const ADJECTIVES: [&str; 32] = [
    "ancient", "autumn", "bold", "brave", "bright", "calm", "clear", "cool", "crimson", "damp",
    "dawn", "early", "fair", "fierce", "gentle", "glad", "golden", "hidden", "icy", "keen",
    "lively", "lucky", "misty", "mild", "polar", "proud", "quiet", "rapid", "silent", "sunny",
    "swift", "wild",
];
const NOUNS: [&str; 32] = [
    "bay", "beach", "brook", "canyon", "cliff", "cloud", "coast", "creek", "dune", "field",
    "fjord", "forest", "garden", "grove", "harbor", "hill", "island", "lake", "meadow", "mesa",
    "moon", "peak", "plain", "pond", "reef", "ridge", "river", "shore", "spring", "stone", "tide",
    "valley",
];

/// `quiet-harbor-48213`
pub(super) fn random() -> Option<AppName> {
    let mut rng = rand::rng();
    let (adjective, noun) = (ADJECTIVES.choose(&mut rng)?, NOUNS.choose(&mut rng)?);
    format!("{adjective}-{noun}-{}", rng.random_range(10_000..100_000))
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_words_makes_a_valid_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                assert!(
                    format!("{adjective}-{noun}-99999")
                        .parse::<AppName>()
                        .is_ok()
                );
            }
        }
        assert!(random().is_some());
    }
}

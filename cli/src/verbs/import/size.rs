//! Which of our dyno sizes takes the place of another platform's.

use controller_api::DynoSize;

use super::described::SizeThere;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What those sizes have of memory whose names are none of ours.
const THEIRS: [(&str, u64); 15] = [
    ("free", 512 * MIB),
    ("hobby", 512 * MIB),
    ("1x", 512 * MIB),
    ("2x", GIB),
    ("px", 14 * GIB),
    ("performance", 14 * GIB),
    ("s", GIB),
    ("m", 2560 * MIB),
    ("l", 14 * GIB),
    ("l-ram", 30 * GIB),
    ("xl", 62 * GIB),
    ("2xl", 126 * GIB),
    ("performance-l-ram", 30 * GIB),
    ("performance-xl", 62 * GIB),
    ("performance-2xl", 126 * GIB),
];

/// Without those that differ from another in nothing but how Heroku bills them.
const BY_MEMORY: [DynoSize; 4] = [
    DynoSize::Standard1X,
    DynoSize::Standard2X,
    DynoSize::PerformanceM,
    DynoSize::PerformanceL,
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SizeHere {
    pub(super) size: DynoSize,
    /// Where the two are not the same.
    pub(super) note: Option<String>,
}

impl SizeHere {
    /// As large as a dyno is of which nobody has said anything.
    pub(super) const fn is_usual(&self) -> bool {
        self.size.memory_bytes() == DynoSize::Standard1X.memory_bytes()
    }
}

/// The size of that name; else the smallest with as much memory, or the largest.
pub(super) fn here(there: &SizeThere) -> SizeHere {
    match there {
        SizeThere::Any => SizeHere {
            size: DynoSize::default(),
            note: None,
        },
        SizeThere::Bytes(bytes) => fitting(*bytes, &told(*bytes)),
        SizeThere::Named(name) => named(name),
    }
}

fn named(name: &str) -> SizeHere {
    if let Ok(size) = name.parse::<DynoSize>() {
        return SizeHere { size, note: None };
    }
    let lower = name.to_ascii_lowercase();
    let generic = lower
        .strip_prefix("private-")
        .or_else(|| lower.strip_prefix("shield-"))
        .unwrap_or(&lower);
    let known = THEIRS.iter().find(|(theirs, _)| *theirs == generic);
    let bytes = known.map(|(_, bytes)| *bytes).or_else(|| of_fir(&lower));
    match bytes {
        Some(bytes) => fitting(bytes, &format!("{name}, {}", told(bytes))),
        None => SizeHere {
            size: DynoSize::default(),
            note: Some(format!("{name} there, a size that is not known here")),
        },
    }
}

/// `dyno-2c-1gb`
fn of_fir(name: &str) -> Option<u64> {
    let gigabytes = name.strip_prefix("dyno-")?.split_once("c-")?.1;
    let gigabytes: f64 = gigabytes.strip_suffix("gb")?.parse().ok()?;
    (gigabytes.is_finite() && (0.0..10_000.0).contains(&gigabytes))
        .then_some((gigabytes * GIB as f64) as u64)
}

fn fitting(bytes: u64, there: &str) -> SizeHere {
    let fits = BY_MEMORY
        .into_iter()
        .find(|size| size.memory_bytes() >= bytes);
    let size = fits.unwrap_or(DynoSize::PerformanceL);
    let has = told(size.memory_bytes());
    let note = match fits {
        Some(size) if size.memory_bytes() == bytes => format!("{there} there"),
        Some(_) => format!("{there} there, {has} here"),
        None => format!("{there} there; the largest here has {has}"),
    };
    SizeHere {
        size,
        note: Some(note),
    }
}

fn told(bytes: u64) -> String {
    if bytes >= GIB {
        // Two digits are more than any of the sizes needs.
        let hundredths = bytes.saturating_mul(100) / GIB;
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        let text = format!("{whole}.{rest:02}");
        format!("{} GB", text.trim_end_matches('0').trim_end_matches('.'))
    } else {
        format!("{} MB", bytes / MIB)
    }
}

/// `512M`, `1GB`, `1g`, `300` in `unit`s.
pub(super) fn memory(text: &str, unit: u64) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => unit,
        "b" => 1,
        "k" | "kb" | "ki" => 1 << 10,
        "m" | "mb" | "mi" => MIB,
        "g" | "gb" | "gi" => GIB,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (bytes > 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> (DynoSize, Option<String>) {
        let here = here(&SizeThere::Named(name.to_owned()));
        (here.size, here.note)
    }

    #[test]
    fn a_size_of_the_same_name_is_the_same_size() {
        for size in DynoSize::ALL {
            assert_eq!(of(size.as_str()), (size, None));
            assert_eq!(of(&size.as_str().to_lowercase()), (size, None));
        }
    }

    #[test]
    fn other_sizes_give_as_much_memory_as_there_was_or_the_most_there_is() {
        for (theirs, ours, note) in [
            ("Hobby", DynoSize::Standard1X, "Hobby, 512 MB there"),
            ("PX", DynoSize::PerformanceL, "PX, 14 GB there"),
            ("Private-S", DynoSize::Standard2X, "Private-S, 1 GB there"),
            ("Shield-M", DynoSize::PerformanceM, "Shield-M, 2.5 GB there"),
            (
                "Performance-2XL",
                DynoSize::PerformanceL,
                "Performance-2XL, 126 GB there; the largest here has 14 GB",
            ),
            (
                "dyno-1c-0.5gb",
                DynoSize::Standard1X,
                "dyno-1c-0.5gb, 512 MB there",
            ),
            (
                "dyno-1c-4gb",
                DynoSize::PerformanceL,
                "dyno-1c-4gb, 4 GB there, 14 GB here",
            ),
            (
                "Enormous",
                DynoSize::Standard1X,
                "Enormous there, a size that is not known here",
            ),
        ] {
            assert_eq!(of(theirs), (ours, Some(note.to_owned())), "{theirs}");
        }
    }

    #[test]
    fn memory_is_read_as_docker_and_deis_write_it() {
        for (text, bytes) in [
            ("512M", Some(512 * MIB)),
            ("1GB", Some(GIB)),
            ("2g", Some(2 * GIB)),
            ("300", Some(300 * MIB)),
            ("0", None),
            ("", None),
            ("lots", None),
            ("99999999999999999999", None),
            ("99999999999999999g", None),
        ] {
            assert_eq!(memory(text, MIB), bytes, "{text}");
        }
    }
}

//! The `traceparent` field: `00-<trace>-<span of the caller>-<flags>`, all of it lower-case hexadecimal.

/// How long one of version 00 is.
pub(super) const LENGTH: usize = 55;

const SAMPLED: u8 = 1;
/// The flags that version 00 knows: sampled, and that the trace's id is random.
const KNOWN_FLAGS: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    /// The caller's span.
    pub(super) id: [u8; 8],
    flags: u8,
}

impl Parent {
    pub(super) const fn new(trace: [u8; 16], id: [u8; 8], is_sampled: bool) -> Self {
        let flags = if is_sampled { KNOWN_FLAGS } else { 2 };
        Self { trace, id, flags }
    }

    /// `None`: it is to be taken for absent. One of a later version is read as far as it is like this one.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (start, rest) = value.split_at_checked(LENGTH)?;
        let [version] = bytes(&start[..2])?;
        let has_end = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest.first(), None | Some(b'-')),
        };
        let has_dashes = [2, 35, 52].iter().all(|dash| start[*dash] == b'-');
        if !has_end || !has_dashes {
            return None;
        }
        let [flags] = bytes(&start[53..])?;
        let parent = Self {
            trace: bytes(&start[3..35])?,
            id: bytes(&start[36..52])?,
            flags: flags & KNOWN_FLAGS,
        };
        (parent.trace != [0; 16] && parent.id != [0; 8]).then_some(parent)
    }

    pub(super) const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What is passed on from here: the same trace, with `id` as the caller.
    pub(super) const fn child(self, id: [u8; 8]) -> Self {
        Self { id, ..self }
    }

    pub(super) fn text(&self) -> String {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        format!(
            "00-{}-{}-{:02x}",
            hex(&self.trace),
            hex(&self.id),
            self.flags
        )
    }
}

/// Of lower-case digits only, as the field must have it.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_well_formed_is_read_and_written_back() {
        let parent = Parent::parse(GOOD.as_bytes()).unwrap();
        assert!(parent.is_sampled());
        assert_eq!(parent.text(), GOOD);
        let child = parent.child([7; 8]);
        assert_eq!(
            child.text(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01"
        );
        let unsampled = GOOD.replace("-01", "-00");
        assert!(!Parent::parse(unsampled.as_bytes()).unwrap().is_sampled());
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [
            GOOD.replacen("00", "01", 1),
            format!("{}-more", GOOD.replacen("00", "cc", 1)),
            // Flags that this version does not know.
            GOOD.replacen("00", "01", 1).replace("b7-01", "b7-fd"),
        ] {
            let parent = Parent::parse(later.as_bytes()).unwrap();
            assert!(parent.is_sampled());
            assert_eq!(parent.text(), GOOD, "{later}");
        }
    }

    #[test]
    fn what_the_specification_calls_invalid_is_none() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &GOOD.replacen("00", "ff", 1),
            &format!("{}0", GOOD.replacen("00", "01", 1)),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("4bf9", "xyzw"),
        ] {
            assert_eq!(Parent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_what_is_written_is_read(
            text in "[0-9a-f-]{0,70}", trace in 1u128.., id in 1u64.., sampled: bool
        ) {
            let _ = Parent::parse(text.as_bytes());
            let parent = Parent::new(trace.to_be_bytes(), id.to_be_bytes(), sampled);
            prop_assert_eq!(Parent::parse(parent.text().as_bytes()), Some(parent));
        }
    }
}

//! Hostile blocks, and what is read from them written and read again.

use super::{Decoder, Encoder};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads `bytes`, cut into blocks whose length the first of them says. Whatever is read comes back as it was once it is
/// written, but for the case of names.
pub(crate) fn fuzz(bytes: &[u8]) {
    let Some((&length, bytes)) = bytes.split_first() else {
        return;
    };
    let (mut theirs, mut ours, mut back) = (Decoder::new(), Encoder::new(), Decoder::new());
    for block in bytes.chunks(usize::from(length).max(1)) {
        let Some(fields) = decode(&mut theirs, block) else {
            return;
        };
        // Sizes that change without a pattern.
        if block.len() % 3 == 0 {
            ours.set_table_size(u32::from(block[0]) * 32);
        }
        let mut out = Vec::new();
        ours.begin(&mut out);
        for (name, value) in &fields {
            ours.field(name, value, &mut out);
        }
        let lower = |(name, value): (Vec<u8>, Vec<u8>)| (name.to_ascii_lowercase(), value);
        assert_eq!(
            decode(&mut back, &out),
            Some(fields.into_iter().map(lower).collect())
        );
    }
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Option<Fields> {
    let mut fields = Vec::new();
    let read = decoder.decode(block, &mut Vec::new(), |item| {
        fields.push((item.name.to_vec(), item.value.to_vec()));
    });
    read.ok().map(|()| fields)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field, its name one of a few or any, so that some are repeated.
    fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let name = prop_oneof![
            prop::sample::select(vec![
                "Vary",
                "date",
                "X-A",
                "x-b",
                "Set-Cookie",
                ":status",
                ""
            ])
            .prop_map(|name| name.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ];
        let value = prop_oneof![
            "[ab]{0,2}".prop_map(String::into_bytes),
            "[ -~]{0,600}".prop_map(String::into_bytes),
            (any::<u8>(), 0usize..4500).prop_map(|(byte, length)| vec![byte; length]),
        ];
        (name, value)
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz(&bytes);
        }

        #[test]
        fn what_is_written_in_many_blocks_is_read(
            blocks in prop::collection::vec(
                (
                    prop::collection::vec(prop_oneof![0u32..200, 0u32..5000], 0..3),
                    prop::collection::vec(field(), 0..12),
                    100u16..1000,
                ),
                0..12,
            ),
        ) {
            let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
            for (sizes, fields, status) in blocks {
                for size in sizes {
                    encoder.set_table_size(size);
                }
                let mut out = Vec::new();
                encoder.begin(&mut out);
                encoder.status(status, &mut out);
                let mut expected = vec![(b":status".to_vec(), status.to_string().into_bytes())];
                for (name, value) in fields {
                    encoder.field(&name, &value, &mut out);
                    expected.push((name.to_ascii_lowercase(), value));
                }
                prop_assert_eq!(decode(&mut decoder, &out), Some(expected));
            }
        }
    }
}

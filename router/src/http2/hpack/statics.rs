//! The fields that both sides know from the beginning (RFC 7541, appendix A).

/// In the order of their indexes, the first of which is 1.
const STATICS: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The index of the first entry that is not static.
pub(super) const FIRST_DYNAMIC: usize = STATICS.len() + 1;

/// The first index of the name that has this hash, or 0.
const BY_HASH: [u8; 256] = by_hash();

/// The name and the value at an index.
pub(super) fn get(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let (name, value) = STATICS.get(index.checked_sub(1)?)?;
    Some((name.as_bytes(), value.as_bytes()))
}

/// The first index of a name, which may be in any case.
pub(super) fn find_name(name: &[u8]) -> Option<usize> {
    let [first, .., last] = name else {
        // No name is as short.
        return None;
    };
    let index = usize::from(BY_HASH[usize::from(hash(*first, *last, name.len()))]);
    let (known, _) = get(index)?;
    known.eq_ignore_ascii_case(name).then_some(index)
}

/// The index of a field whose name's first index is `first`.
pub(super) fn find(first: usize, value: &[u8]) -> Option<usize> {
    let (name, _) = get(first)?;
    (first..FIRST_DYNAMIC)
        .map_while(|index| Some((index, get(index).filter(|known| known.0 == name)?.1)))
        .find_map(|(index, known)| (known == value).then_some(index))
}

/// No two of the names share it; otherwise this does not compile. Case does not matter.
const fn hash(first: u8, last: u8, length: usize) -> u8 {
    let length = length.to_le_bytes()[0];
    let sum = length.wrapping_mul(25).wrapping_add(last | 0x20);
    (first | 0x20).wrapping_mul(2).wrapping_add(sum)
}

const fn by_hash() -> [u8; 256] {
    let mut table = [0; 256];
    let (mut index, mut at) = (1, 0);
    while at < STATICS.len() {
        let name = STATICS[at].0.as_bytes();
        let slot = hash(name[0], name[name.len() - 1], name.len()) as usize;
        if table[slot] == 0 {
            table[slot] = index;
        } else {
            // Entries of one name follow each other.
            let known = STATICS[at - 1].0.as_bytes();
            assert!(known.len() == name.len() && known[1] == name[1] && known[2] == name[2]);
        }
        index += 1;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_found() {
        for index in 1..FIRST_DYNAMIC {
            let (name, value) = get(index).unwrap();
            let first = find_name(name).unwrap();
            assert_eq!(find_name(&name.to_ascii_uppercase()), Some(first));
            assert_eq!(get(first).unwrap().0, name);
            assert_eq!(find(first, value), Some(index));
        }
    }

    #[test]
    fn no_other_is() {
        for name in [
            "",
            "a",
            "x-runtime",
            "dote",
            ":statusses",
            "ages",
            "\u{1a}ge",
        ] {
            assert_eq!(find_name(name.as_bytes()), None, "{name}");
        }
        assert_eq!(find(2, b"PUT"), None);
        assert_eq!(find(2, b"/"), None);
        assert_eq!(find(61, b"x"), None);
        assert_eq!(get(0), None);
        assert_eq!(get(62), None);
        assert_eq!(get(usize::MAX), None);
    }
}

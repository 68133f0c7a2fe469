//! What HTTP/2 allows in a field (RFC 9113, 8.2.1). Loops that do not stop early, for the compiler makes them wide.

/// Which bytes a name is made of: what RFC 9110, 5.6.2 calls a token, without upper case.
const IN_NAME: [bool; 256] = in_name();

const fn in_name() -> [bool; 256] {
    let others = b"!#$%&'*+-.^_`|~";
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128u8 {
        table[byte as usize] = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// The name of a field in lower case, or, with a colon before it, of a pseudo-field.
pub(super) fn is_name(name: &[u8]) -> bool {
    let name = name.strip_prefix(b":").unwrap_or(name);
    let is_token = name
        .iter()
        .fold(true, |sound, byte| sound & IN_NAME[usize::from(*byte)]);
    is_token && !name.is_empty()
}

/// Nothing that ends a line or a string in another protocol. Blanks around it, which the RFC forbids and some clients send,
/// are for whoever passes it on to take off.
pub(super) fn is_value(value: &[u8]) -> bool {
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    !value
        .iter()
        .fold(false, |has, byte| has | is_control(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token_in_lower_case() {
        for name in ["a", "content-type", "x_1", ":path", "!#$%&'*+-.^_`|~"] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in [
            "", ":", "::path", "a:", "Host", "a b", "a\n", "a\0", "a\x7f", "é", "a,", "a(", "a@",
        ] {
            assert!(!is_name(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn a_value_is_text() {
        for value in ["", "a", "a b", "a\tb", "é", "\u{80}", "~", " a", "a\t"] {
            assert!(is_value(value.as_bytes()), "{value:?}");
        }
        for value in ["a\0b", "a\rb", "a\nb", "\x01", "\x1f", "\x7f"] {
            assert!(!is_value(value.as_bytes()), "{value:?}");
        }
    }
}

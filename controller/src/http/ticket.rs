//! A path segment that lets whoever has it do one thing: sealed, so that it needs no record and every controller can
//! open it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Sealed;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Key, Keyring, StoreError};

/// The type's name is part of the seal: a ticket for one thing opens no other.
pub(crate) fn seal<T: Serialize>(keyring: &Keyring, ticket: &T) -> Result<String, StoreError> {
    seal_at(keyring, std::any::type_name::<T>(), ticket)
}

/// `None` for what was not sealed here as a `T`.
pub(crate) fn open<T: DeserializeOwned>(keyring: &Keyring, text: &str) -> Option<T> {
    open_at(keyring, std::any::type_name::<T>(), text)
}

/// The same for one that is kept for long: what it opens has a name of its own, whatever becomes of the type's.
pub(crate) fn seal_at<T: Serialize>(
    keyring: &Keyring,
    place: &str,
    ticket: &T,
) -> Result<String, StoreError> {
    let sealed = keyring.seal(&named(place), ticket)?;
    Ok(URL_SAFE_NO_PAD.encode(sealed.as_bytes()))
}

pub(crate) fn open_at<T: DeserializeOwned>(
    keyring: &Keyring,
    place: &str,
    text: &str,
) -> Option<T> {
    let sealed = Sealed::from_bytes(URL_SAFE_NO_PAD.decode(text).ok()?);
    keyring.open(&named(place), &sealed).ok()
}

fn named(place: &str) -> Key {
    Key::from_text(format!("ticket {place}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct One(u32);

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Other(u32);

    #[test]
    fn a_ticket_opens_what_it_was_made_for_and_nothing_else() {
        let keyring = Keyring::new(&[1; 32]);
        let text = seal(&keyring, &One(7)).unwrap();
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_eq!(open(&keyring, &text), Some(One(7)));
        assert_eq!(open::<Other>(&keyring, &text), None);
        assert_eq!(open::<One>(&Keyring::new(&[2; 32]), &text), None);
        assert_eq!(open::<One>(&keyring, "nonsense!"), None);
    }
}

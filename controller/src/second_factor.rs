//! Codes of a second factor: those a device makes (RFC 6238: SHA-1, six digits, 30 seconds) and those for when it is lost.
//!
//! No clock and no store here. A code is good once: whoever takes one keeps what [`after`] says is left.

use std::time::Duration;

use model::{Checksum, SecondFactor, Secret, Timestamp};
use rand::RngCore as _;
use totp_rs::{Builder, Totp, TotpError};

use crate::auth;

const RECOVERY_CODES: usize = 10;
const RECOVERY_CODE_BYTES: usize = 10;
const STEP: Duration = Duration::from_secs(30);
/// Clocks differ: the code before and the one after are good too.
const STEPS_APART: u16 = 1;
const MAX_CODE: usize = 64;
/// Wrong codes before there is a pause.
const MISTAKES: u32 = 5;
/// At this pace, one in a hundred is guessed within half a year.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
#[error("a second factor cannot be made of this: {0}")]
pub(crate) struct FactorError(TotpError);

/// As RFC 4226 recommends: as long as what SHA-1 makes.
pub(crate) fn new_secret() -> Secret<Vec<u8>> {
    let mut bytes = vec![0; 20];
    rand::rng().fill_bytes(&mut bytes);
    Secret::new(bytes)
}

/// What an authenticator app reads, and the secret alone for those who type it.
pub(crate) struct Enrolment {
    pub(crate) url: Secret<String>,
    pub(crate) secret: Secret<String>,
}

pub(crate) fn enrolment(
    secret: &Secret<Vec<u8>>,
    platform: &str,
    account: &str,
) -> Result<Enrolment, FactorError> {
    // The two are parted by a colon in the URL, and may not hold one.
    let plain = |text: &str| text.replace(':', "");
    let totp = builder(secret)
        .with_issuer(Some(plain(platform)))
        .with_account_name(plain(account))
        .build()
        .map_err(FactorError)?;
    Ok(Enrolment {
        url: Secret::new(totp.to_url().map_err(FactorError)?),
        secret: Secret::new(totp.secret().to_base32()),
    })
}

fn builder(secret: &Secret<Vec<u8>>) -> Builder {
    Builder::new()
        .with_secret(secret.expose().clone())
        .with_step_duration(STEP.as_secs())
        .with_skew(STEPS_APART)
}

fn totp(secret: &Secret<Vec<u8>>) -> Option<Totp> {
    builder(secret).build().ok()
}

/// What comes of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What is left of the second factor.
    Right(SecondFactor),
    /// The second factor with one wrong code more.
    Wrong(SecondFactor),
    /// No recovery code. They are not counted: nobody guesses 80 bits.
    NoRecoveryCode,
    /// Too many were wrong for this one to be looked at.
    Blocked { until: Timestamp },
}

/// Only what this says may be told of a code once it is kept: else many at once would be a way around the count.
pub(crate) fn judge(
    factor: &SecondFactor,
    secret: &Secret<Vec<u8>>,
    code: &str,
    now: Timestamp,
) -> Verdict {
    let of_device = is_of_a_device(code);
    if let Some(until) = factor
        .blocked_until
        .filter(|until| of_device && *until > now)
    {
        return Verdict::Blocked { until };
    }
    match after(factor, secret, code, now) {
        Some(left) => Verdict::Right(SecondFactor {
            wrong_codes: 0,
            blocked_until: None,
            ..left
        }),
        None if of_device => {
            let wrong_codes = factor.wrong_codes.saturating_add(1);
            Verdict::Wrong(SecondFactor {
                wrong_codes,
                blocked_until: pause_after(wrong_codes)
                    .and_then(|pause| now.checked_add(pause).ok()),
                ..factor.clone()
            })
        }
        None => Verdict::NoRecoveryCode,
    }
}

/// Whether it is of the form that devices make.
pub(crate) fn is_of_a_device(code: &str) -> bool {
    plain(code).is_some_and(|code| code.len() == 6)
}

/// Some are somebody's mistakes; after those, each doubles the pause.
fn pause_after(wrong_codes: u32) -> Option<Duration> {
    let more = wrong_codes.checked_sub(MISTAKES)?;
    let pause = STEP.saturating_mul(2_u32.saturating_pow(more));
    Some(pause.min(LONGEST_PAUSE))
}

/// What is left of the second factor once this code has been taken; `None` if it is not right, or was taken before.
fn after(
    factor: &SecondFactor,
    secret: &Secret<Vec<u8>>,
    code: &str,
    now: Timestamp,
) -> Option<SecondFactor> {
    let code = plain(code)?;
    if code.len() == 6 {
        let now = u64::try_from(now.as_second()).ok()?;
        let step = totp(secret)?.check(&code, now)?;
        let is_new = factor.last_step.is_none_or(|last| step > last);
        return is_new.then(|| SecondFactor {
            last_step: Some(step),
            ..factor.clone()
        });
    }
    let hash = auth::token_hash(&code);
    // Hashes are compared: how many of their bytes agree says nothing about the codes.
    let place = factor.recovery_codes.iter().position(|of| *of == hash)?;
    let mut left = factor.clone();
    left.recovery_codes.remove(place);
    Some(left)
}

/// Codes are typed with spaces, dashes and capitals as people like.
fn plain(code: &str) -> Option<String> {
    (code.len() <= MAX_CODE).then(|| {
        code.chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .collect()
    })
}

/// New recovery codes, and under what they are kept.
pub(crate) fn new_recovery_codes() -> (Vec<Secret<String>>, Vec<Checksum>) {
    (0..RECOVERY_CODES)
        .map(|_| {
            let code = auth::random_hex::<RECOVERY_CODE_BYTES>();
            (Secret::new(in_groups(&code)), auth::token_hash(&code))
        })
        .unzip()
}

/// `01234-56789-abcde-f0123`
fn in_groups(code: &str) -> String {
    let mut text = String::new();
    for (index, c) in code.chars().enumerate() {
        if index > 0 && index % 5 == 0 {
            text.push('-');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use model::Sealed;
    use proptest::prelude::*;

    use super::*;

    fn rfc_secret() -> Secret<Vec<u8>> {
        Secret::new(b"12345678901234567890".to_vec())
    }

    fn factor() -> SecondFactor {
        SecondFactor {
            secret: Sealed::from_bytes(Vec::new()),
            confirmed_at: None,
            last_step: None,
            recovery_codes: Vec::new(),
            wrong_codes: 0,
            blocked_until: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn code_at(secret: &Secret<Vec<u8>>, second: i64) -> String {
        let second = u64::try_from(second).unwrap();
        totp(secret).unwrap().generate(second).to_string()
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B: SHA-1, the last six of eight digits.
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let left = after(&factor(), &rfc_secret(), code, at(second)).unwrap();
            assert_eq!(left.last_step, Some(u64::try_from(second / 30).unwrap()));
        }
    }

    #[test]
    fn a_code_is_taken_once_and_so_is_none_before_it() {
        let secret = rfc_secret();
        let now = 1_111_111_111;
        let (before, this, next) = (
            code_at(&secret, now - 30),
            code_at(&secret, now),
            code_at(&secret, now + 30),
        );
        let left = after(&factor(), &secret, &this, at(now)).unwrap();
        assert_eq!(after(&left, &secret, &this, at(now)), None);
        assert_eq!(after(&left, &secret, &this, at(now + 30)), None);
        assert_eq!(after(&left, &secret, &before, at(now)), None);
        let left = after(&left, &secret, &next, at(now)).unwrap();
        assert_eq!(after(&left, &secret, &next, at(now + 30)), None);
    }

    #[test]
    fn after_some_wrong_codes_none_is_looked_at_for_longer_and_longer() {
        let (secret, start) = (rfc_secret(), 1_111_111_111);
        let wrong = |factor: &SecondFactor, now| match judge(factor, &secret, "000000", at(now)) {
            Verdict::Wrong(counted) => counted,
            other => panic!("{other:?}"),
        };
        let mut left = factor();
        for _ in 1..MISTAKES {
            left = wrong(&left, start);
            assert_eq!(left.blocked_until, None);
        }
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            left = wrong(&left, now);
            let until = left.blocked_until.unwrap();
            // Not even the right one.
            let code = code_at(&secret, now);
            let blocked = judge(&left, &secret, &code, at(now));
            assert_eq!(blocked, Verdict::Blocked { until });
            pauses.push(until.as_second() - now);
            now = until.as_second();
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        let Verdict::Right(left) = judge(&left, &secret, &code_at(&secret, now), at(now)) else {
            panic!("{left:?}");
        };
        assert_eq!((left.wrong_codes, left.blocked_until), (0, None));
    }

    #[test]
    fn recovery_codes_are_taken_during_a_pause_and_end_it() {
        let (codes, hashes) = new_recovery_codes();
        let blocked = SecondFactor {
            recovery_codes: hashes,
            wrong_codes: 50,
            blocked_until: Some(at(1000)),
            ..factor()
        };
        let bad = judge(&blocked, &rfc_secret(), "01234-56789-abcde-f0123", at(0));
        assert_eq!(bad, Verdict::NoRecoveryCode);
        let good = judge(&blocked, &rfc_secret(), codes[0].expose(), at(0));
        assert!(matches!(good, Verdict::Right(left) if left.blocked_until.is_none()));
    }

    #[test]
    fn a_recovery_code_is_taken_once_however_it_is_typed() {
        let (codes, hashes) = new_recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        let whole = SecondFactor {
            recovery_codes: hashes,
            ..factor()
        };
        let typed = codes[3].expose().to_uppercase().replace('-', " ");
        let left = after(&whole, &rfc_secret(), &typed, at(0)).unwrap();
        assert_eq!(left.recovery_codes.len(), RECOVERY_CODES - 1);
        assert_eq!(after(&left, &rfc_secret(), &typed, at(0)), None);
        assert!(after(&left, &rfc_secret(), codes[4].expose(), at(0)).is_some());
    }

    #[test]
    fn an_authenticator_app_is_told_the_platform_the_account_and_the_secret() {
        let enrolment = enrolment(&rfc_secret(), "paas.example.com", "ann@example.com").unwrap();
        let url = enrolment.url.expose();
        assert!(
            url.starts_with("otpauth://totp/paas.example.com:ann%40example.com?"),
            "{url}"
        );
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert!(url.contains(&format!("secret={secret}")), "{url}");
        assert!(url.contains("issuer=paas.example.com"), "{url}");
        assert_eq!(enrolment.secret.expose(), secret);
    }

    proptest! {
        #[test]
        fn codes_are_good_one_step_early_or_late_and_no_further(
            secret in prop::collection::vec(any::<u8>(), 20),
            step in 10_i64..100_000_000,
            apart in -5_i64..=5,
        ) {
            let secret = Secret::new(secret);
            let code = code_at(&secret, (step + apart) * 30);
            let near: Vec<_> = (-1..=1).map(|n| code_at(&secret, (step + n) * 30)).collect();
            let taken = after(&factor(), &secret, &code, at(step * 30)).is_some();
            prop_assert_eq!(taken, near.contains(&code));
            prop_assert!(apart.abs() > 1 || taken);
        }

        #[test]
        fn nonsense_is_no_code(code in "\\PC{0,80}") {
            prop_assume!(plain(&code).is_none_or(|code| code.len() != 6));
            prop_assert_eq!(after(&factor(), &rfc_secret(), &code, at(1_111_111_111)), None);
        }
    }
}

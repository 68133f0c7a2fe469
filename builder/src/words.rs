//! Sentences that more than one place says to users.

/// What a stranger reads too, so it must be the same whether or not the app exists.
pub(crate) fn no_such_app(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    format!(" !     No such app as {name}.\n")
}

pub(crate) fn may_not_push(name: &str) -> String {
    format!(
        " !     You may read the source of {name}, but not deploy it. Ask its owner: paas access:add. If it is your \
         team's, join it: paas apps:join\n"
    )
}

pub(crate) fn token_too_narrow(need: model::Need) -> String {
    let scope = need.scope();
    format!(
        " !     This token is not good for that; it needs the scope {scope}: paas authorizations:create --scope {scope}\n"
    )
}

pub(crate) const NO_SECOND_FACTOR: &str = " !     The platform asks a second factor of you, and until you have one nothing else may be done: paas auth:2fa:enable\n";

/// `1.5 GB`, `36.3M` style of the platform's transcripts: Heroku writes sizes in powers of 1024 with one decimal.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let bytes = bytes as f64;
    let (value, unit) = match bytes {
        b if b >= 1024.0 * 1024.0 * 1024.0 => (b / (1024.0 * 1024.0 * 1024.0), "G"),
        b if b >= 1024.0 * 1024.0 => (b / (1024.0 * 1024.0), "M"),
        b => (b / 1024.0, "K"),
    };
    format!("{value:.1}{unit}")
}

/// A limit as a sentence names it: `2 GB`, `500 MB`.
pub(crate) fn limit(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    match bytes {
        b if b >= GIB && b.is_multiple_of(GIB) => format!("{} GB", b / GIB),
        b if b >= MIB => format!("{} MB", b / MIB),
        b => format!("{} KB", b.div_ceil(1024)),
    }
}

/// `15 minutes`, `90 seconds`.
pub(crate) fn duration(time: std::time::Duration) -> String {
    match time.as_secs() {
        60 => "1 minute".to_owned(),
        s if s >= 60 && s.is_multiple_of(60) => format!("{} minutes", s / 60),
        s => format!("{s} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_herokus_transcripts() {
        assert_eq!(size(38_063_309), "36.3M");
        assert_eq!(size(500), "0.5K");
        assert_eq!(limit(2 << 30), "2 GB");
        assert_eq!(limit(500 << 20), "500 MB");
        assert_eq!(duration(std::time::Duration::from_secs(900)), "15 minutes");
    }

    #[test]
    fn a_hostile_name_cannot_draw_on_the_terminal() {
        assert_eq!(no_such_app("a\u{1b}[2Jb"), " !     No such app as a[2Jb.\n");
    }
}

//! What somebody may have meant who typed something that is not there.

/// The name that `typed` is most like, if it is much like any: a slip or two, more in a long word.
pub(crate) fn nearest<T: AsRef<str>>(typed: &str, names: impl IntoIterator<Item = T>) -> Option<T> {
    let allowed = (typed.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name.as_ref()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by(|(a, left), (b, right)| (a, left.as_ref()).cmp(&(b, right.as_ref())))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_forgiven_and_something_else_is_not_taken_for_it() {
        let apps = ["shop", "shop-staging", "blog"];
        for (typed, meant) in [
            ("shpo", Some("shop")),
            ("sohp-stagin", Some("shop-staging")),
            ("bolg", Some("blog")),
            ("x", None),
            ("frobnicate", None),
        ] {
            assert_eq!(nearest(typed, apps), meant, "{typed}");
        }
        assert_eq!(nearest("shop", Vec::<String>::new()), None);
    }
}

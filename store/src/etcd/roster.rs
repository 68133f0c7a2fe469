//! Where the cluster's members are, as the cluster last said. The configuration may be older than they are.

use std::path::Path;

use tracing::warn;

/// Those of the last time, one to a line; none if there was no last time.
pub(super) fn load(file: &Path) -> Vec<String> {
    match fs_err::read_to_string(file) {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not read where etcd's members are"
            );
            Vec::new()
        }
    }
}

/// Whole or not at all. Without it, the configuration's have to do.
pub(super) fn keep(file: &Path, endpoints: &[String]) {
    let temporary = file.with_extension("new");
    let written = fs_err::write(&temporary, endpoints.join("\n") + "\n")
        .and_then(|()| fs_err::rename(&temporary, file));
    if let Err(error) = written {
        warn!(
            error = &error as &dyn std::error::Error,
            "Could not write down where etcd's members are"
        );
    }
}

/// `told` by the cluster before those that were `configured`. What would be reached in the clear where the configuration asks
/// for TLS is left out.
pub(super) fn merge(configured: &[String], told: &[String]) -> Vec<String> {
    let is_secret = configured.iter().any(|url| url.starts_with("https://"));
    let mut merged: Vec<String> = Vec::new();
    for url in told.iter().chain(configured) {
        let is_welcome = url.starts_with("https://") || (!is_secret && url.starts_with("http://"));
        if is_welcome && !merged.contains(url) {
            merged.push(url.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    #[test]
    fn what_the_cluster_says_comes_first_and_nothing_twice() {
        let merged = merge(
            &urls(&["http://a:1", "http://b:1"]),
            &urls(&["http://b:1", "http://c:1", "unix://d"]),
        );
        assert_eq!(merged, urls(&["http://b:1", "http://c:1", "http://a:1"]));
    }

    #[test]
    fn nobody_is_talked_into_speaking_in_the_clear() {
        let merged = merge(
            &urls(&["https://a:1"]),
            &urls(&["http://b:1", "https://c:1"]),
        );
        assert_eq!(merged, urls(&["https://c:1", "https://a:1"]));
    }

    #[test]
    fn what_was_kept_is_there_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("etcd-members");
        assert!(load(&file).is_empty());
        keep(&file, &urls(&["http://a:1", "http://b:1"]));
        assert_eq!(load(&file), urls(&["http://a:1", "http://b:1"]));
    }
}

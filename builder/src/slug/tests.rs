use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const TIME: u64 = 1_700_000_000;

fn tree(order: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in order {
        let path = dir.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, format!("content of {name}")).unwrap();
    }
    dir
}

fn packed(tree: &Path) -> (Packed, tempfile::NamedTempFile) {
    let slug = tempfile::NamedTempFile::new().unwrap();
    (
        pack(tree, slug.path(), Times::All(TIME), u64::MAX).unwrap(),
        slug,
    )
}

fn entries(slug: &Path) -> BTreeMap<String, (EntryType, u32, u64)> {
    let mut archive = tar::Archive::new(zstd::Decoder::new(File::open(slug).unwrap()).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap()
                ),
                (OWNER, OWNER, TIME)
            );
            let path = entry.path().unwrap().display().to_string();
            (
                path,
                (header.entry_type(), header.mode().unwrap(), entry.size()),
            )
        })
        .collect()
}

#[test]
fn the_same_tree_packs_to_the_same_checksum_whenever_and_in_whatever_order_it_was_made() {
    let (one, two) = (
        tree(&["b", "a/x", "a/y", "c"]),
        tree(&["c", "a/y", "b", "a/x"]),
    );
    let old = File::open(two.path().join("b")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let ((first, _a), (second, _b)) = (packed(one.path()), packed(two.path()));
    assert_eq!(first, second);
    fs_err::write(two.path().join("b"), "other").unwrap();
    assert_ne!(packed(two.path()).0.checksum, first.checksum);
}

#[test]
fn the_checksum_is_of_the_bytes_and_the_sizes_are_right() {
    let dir = tree(&["a"]);
    let (result, slug) = packed(dir.path());
    let bytes = fs_err::read(slug.path()).unwrap();
    assert_eq!(
        result.checksum.as_str(),
        hex::encode(Sha256::digest(&bytes))
    );
    assert_eq!(
        (result.size, result.unpacked_size),
        (bytes.len() as u64, "content of a".len() as u64)
    );
}

#[test]
fn links_are_packed_as_links_and_never_followed() {
    let dir = tree(&["a/file"]);
    symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
    symlink("../../..", dir.path().join("a/up")).unwrap();
    symlink("a", dir.path().join("to-dir")).unwrap();
    let (_, slug) = packed(dir.path());
    let found = entries(slug.path());
    for link in ["absolute", "a/up", "to-dir"] {
        assert_eq!(found[link].0, EntryType::Symlink, "{link}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn modes_are_made_plain_and_git_and_sockets_stay_out() {
    let dir = tree(&["run", "secret", ".git/config", "vendor/x/.git/config"]);
    fs_err::set_permissions(dir.path().join("run"), PermissionsExt::from_mode(0o4711)).unwrap();
    fs_err::set_permissions(dir.path().join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let (_, slug) = packed(dir.path());
    let found = entries(slug.path());
    assert_eq!(found["run"].1, 0o755);
    assert_eq!(found["secret"].1, 0o644);
    assert!(
        !found
            .keys()
            .any(|name| name.starts_with(".git/") || name == "socket"),
        "{found:?}"
    );
    assert!(found.contains_key("vendor/x/.git/config"));
}

#[test]
fn long_names_survive() {
    let name = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let dir = tree(&[&name]);
    let (_, slug) = packed(dir.path());
    assert!(entries(slug.path()).contains_key(&name));
}

#[test]
fn too_large_a_slug_is_refused_before_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut noise = vec![0; 4 << 20];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut noise);
    fs_err::write(dir.path().join("noise"), noise).unwrap();
    let slug = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(
        pack(dir.path(), slug.path(), Times::All(TIME), 1 << 20),
        Err(PackError::TooLarge { limit: 1_048_576 })
    ));
    assert!(fs_err::metadata(slug.path()).unwrap().len() < 3 << 20);
}

#[test]
fn a_later_commit_shows_in_the_time_of_every_file_and_an_absurd_time_does_not_harm() {
    let dir = tree(&["index.html"]);
    let at = |time| {
        let slug = tempfile::NamedTempFile::new().unwrap();
        pack(dir.path(), slug.path(), Times::All(time), u64::MAX)
            .unwrap()
            .checksum
    };
    assert_ne!(at(TIME), at(TIME + 1));
    assert_eq!(at(0), at(EPOCH));
}

//! The blob store: what comes out is what went in, or an error.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use model::Checksum;
use sha2::{Digest as _, Sha256};
use store::{BlobConfig, BlobError, BlobStore};

fn sha256(bytes: &[u8]) -> Checksum {
    hex::encode(Sha256::digest(bytes)).parse().unwrap()
}

/// Larger than one part, and no two parts alike.
pub(crate) fn large() -> Vec<u8> {
    (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn local(dir: &Path) -> BlobStore {
    BlobStore::open(&BlobConfig::Local {
        dir: dir.to_owned(),
    })
    .unwrap()
}

/// What every kind of blob store must do.
pub(crate) async fn keeps_its_promises(blobs: &BlobStore) {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [b"".to_vec(), b"small".to_vec(), large()] {
        let source = dir.path().join("source");
        std::fs::write(&source, &bytes).unwrap();
        let checksum = blobs.put_file(&source).await.unwrap();
        assert_eq!(checksum, sha256(&bytes));
        assert_eq!(
            blobs.put_file(&source).await.unwrap(),
            checksum,
            "again, and stored once"
        );
        assert_eq!(
            blobs.put_bytes(bytes.clone().into()).await.unwrap(),
            checksum
        );
        assert!(blobs.exists(&checksum).await.unwrap());
        assert_eq!(blobs.size(&checksum).await.unwrap(), bytes.len() as u64);
        let fetched = dir.path().join("fetched");
        blobs.fetch_to(&checksum, &fetched).await.unwrap();
        assert!(std::fs::read(&fetched).unwrap() == bytes);
        assert!(blobs.read(&checksum, bytes.len() as u64).await.unwrap() == bytes);
        if let Some(max) = (bytes.len() as u64).checked_sub(1) {
            assert!(matches!(
                blobs.read(&checksum, max).await,
                Err(BlobError::TooLarge { .. })
            ));
        }
    }
    let listed = blobs.list().await.unwrap();
    assert_eq!(listed.len(), 3);
    let small = sha256(b"small");
    assert_eq!(
        listed
            .iter()
            .find(|blob| blob.checksum == small)
            .unwrap()
            .size,
        5
    );
    let age = model::Timestamp::now().duration_since(listed[0].modified);
    assert!(age.as_secs().abs() < 120, "{age}");

    blobs.delete(&small).await.unwrap();
    blobs.delete(&small).await.unwrap();
    assert!(!blobs.exists(&small).await.unwrap());
    assert_eq!(blobs.list().await.unwrap().len(), 2);
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(
        blobs.size(&small).await,
        Err(BlobError::NotFound { .. })
    ));
    assert!(matches!(
        blobs.read(&small, 10).await,
        Err(BlobError::NotFound { .. })
    ));
    assert!(matches!(
        blobs.fetch_to(&small, &nowhere).await,
        Err(BlobError::NotFound { .. })
    ));
    assert_eq!(names(dir.path()), ["fetched", "source"]);
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_directory_keeps_the_promises_of_a_blob_store() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = local(&dir.path().join("made/when/opened"));
    keeps_its_promises(&blobs).await;
}

#[tokio::test]
async fn blobs_in_a_directory_can_be_opened_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = local(dir.path());
    let checksum = blobs
        .put_bytes(Bytes::from_static(b"in place"))
        .await
        .unwrap();
    let path = blobs.local_path(&checksum).unwrap();
    assert_eq!(
        path,
        dir.path()
            .canonicalize()
            .unwrap()
            .join(&checksum.as_str()[..2])
            .join(checksum.as_str())
    );
    assert_eq!(std::fs::read(path).unwrap(), b"in place");
}

#[tokio::test]
async fn a_damaged_blob_is_never_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = local(&dir.path().join("blobs"));
    let checksum = blobs
        .put_bytes(Bytes::from_static(b"precious"))
        .await
        .unwrap();
    std::fs::write(blobs.local_path(&checksum).unwrap(), b"precioux").unwrap();

    let target = dir.path().join("target");
    std::fs::write(&target, b"what was there before").unwrap();
    let fetched = blobs.fetch_to(&checksum, &target).await;
    assert!(
        matches!(fetched, Err(BlobError::Damaged { .. })),
        "{fetched:?}"
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"what was there before");
    assert_eq!(names(dir.path()), ["blobs", "target"], "no partial file");
    let read = blobs.read(&checksum, 100).await;
    assert!(matches!(read, Err(BlobError::Damaged { .. })), "{read:?}");
}

#[tokio::test]
async fn a_blob_that_was_cut_short_is_stored_anew() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = local(dir.path());
    let checksum = blobs.put_bytes(Bytes::from_static(b"whole")).await.unwrap();
    std::fs::write(blobs.local_path(&checksum).unwrap(), b"who").unwrap();
    blobs.put_bytes(Bytes::from_static(b"whole")).await.unwrap();
    assert_eq!(&blobs.read(&checksum, 100).await.unwrap()[..], b"whole");
}

#[tokio::test]
async fn what_a_dead_upload_left_goes_after_a_day_and_is_never_listed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("ab");
    std::fs::create_dir(&folder).unwrap();
    let name = "ab".repeat(32);
    for (file, days) in [
        (format!("{name}#1"), 2),
        (format!("{name}#2"), 0),
        (name.clone(), 2),
    ] {
        let file = std::fs::File::create(folder.join(file)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 24 * 3600))
            .unwrap();
    }
    let blobs = local(dir.path());
    assert_eq!(names(&folder), [name.clone(), format!("{name}#2")]);
    assert_eq!(blobs.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn errors_name_the_file_and_what_was_done_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = local(dir.path());
    let missing = dir.path().join("missing");
    let error = blobs.put_file(&missing).await.unwrap_err().to_string();
    assert_eq!(error, format!("reading {} failed", missing.display()));
    let checksum = blobs.put_bytes(Bytes::from_static(b"x")).await.unwrap();
    let error = blobs
        .fetch_to(&checksum, &missing.join("below"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("writing ") && error.ends_with(" failed"),
        "{error}"
    );
}

#[tokio::test]
async fn an_old_blob_that_is_put_again_counts_as_new() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = local(dir.path());
    let checksum = blobs.put_bytes("blob".into()).await.unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::open(blobs.local_path(&checksum).unwrap()).unwrap();
    file.set_modified(old).unwrap();
    let age = async || {
        let modified = blobs.modified(&checksum).await.unwrap().unwrap();
        model::Timestamp::now().duration_since(modified).as_secs()
    };
    assert!(age().await >= 3600);
    // Or the next sweep would delete it before its record is made.
    blobs.put_bytes("blob".into()).await.unwrap();
    assert!(age().await < 60);
    let nothing = sha256(b"nothing");
    assert_eq!(blobs.modified(&nothing).await.unwrap(), None);
}

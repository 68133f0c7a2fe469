use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use store::{BlobError, BlobStore};

use super::blob::{keeps_its_promises, large};
use super::faults::Between;
use super::garage::Garage;

/// Longer than any call of the blob store tries to reach a server that is in trouble, with room for a busy machine.
const BOUND: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

async fn put_large(blobs: &BlobStore) -> Result<model::Checksum, BlobError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large");
    std::fs::write(&file, large()).unwrap();
    blobs.put_file(&file).await
}

fn text_of(error: &BlobError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[tokio::test]
async fn a_real_server_keeps_the_promises_of_a_blob_store() {
    let garage = Garage::start().await;
    keeps_its_promises(&garage.open(garage.addr, "2", Some("one/deep"))).await;
    keeps_its_promises(&garage.open(garage.addr, "2", Some("/two/"))).await;
}

#[tokio::test]
async fn connections_that_break_in_the_middle_are_made_anew() {
    let garage = Garage::start().await;
    let between = Between::start(garage.addr).await;
    let (faults, open) = (&between.faults, || garage.open(between.addr, "2", None));
    // Twenty megabytes in parts of eight: each of these breaks in another part, or at another place of one.
    faults.cut_after.store(5 * MIB, Ordering::Relaxed);
    faults.cut.store(3, Ordering::Relaxed);
    let checksum = put_large(&open()).await.unwrap();
    assert_eq!(faults.hit.load(Ordering::Relaxed), 3);
    let stored = garage.blobs().read(&checksum, u64::MAX).await.unwrap();
    assert!(stored == large());

    faults.cut.store(3, Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fetched");
    open().fetch_to(&checksum, &file).await.unwrap();
    assert_eq!(faults.hit.load(Ordering::Relaxed), 6);
    assert!(std::fs::read(&file).unwrap() == large());
}

#[tokio::test]
async fn a_connection_that_always_breaks_is_given_up_and_leaves_nothing() {
    let garage = Garage::start().await;
    let between = Between::start(garage.addr).await;
    let faults = &between.faults;
    let whole = put_large(&garage.blobs()).await.unwrap();
    faults.cut_after.store(MIB, Ordering::Relaxed);
    faults.cut.store(usize::MAX, Ordering::Relaxed);
    let blobs = garage.open(between.addr, "2", None);
    let began = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fetched");
    assert!(matches!(
        blobs.fetch_to(&whole, &file).await,
        Err(BlobError::Blob { .. })
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    garage.blobs().delete(&whole).await.unwrap();
    assert!(matches!(
        put_large(&blobs).await,
        Err(BlobError::Blob { .. })
    ));
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(garage.blobs().list().await.unwrap(), []);
}

#[tokio::test]
async fn a_wrong_secret_is_told_at_once_and_is_no_missing_blob() {
    let garage = Garage::start().await;
    let checksum = garage.blobs().put_bytes("blob".into()).await.unwrap();
    let stranger = garage.open(garage.addr, "3", None);
    let began = Instant::now();
    for error in [
        stranger.put_bytes("other".into()).await.unwrap_err(),
        stranger.read(&checksum, 100).await.unwrap_err(),
        stranger.exists(&checksum).await.unwrap_err(),
        stranger.delete(&checksum).await.unwrap_err(),
    ] {
        let text = text_of(&error);
        assert!(matches!(error, BlobError::Blob { .. }), "{text}");
        assert!(text.contains("403") || text.contains("Forbidden"), "{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(garage.blobs().exists(&checksum).await.unwrap());
}

#[tokio::test]
async fn a_server_that_says_slow_down_is_asked_again_a_few_times_and_no_more() {
    let garage = Garage::start().await;
    let between = Between::start(garage.addr).await;
    let (faults, open) = (&between.faults, || garage.open(between.addr, "2", None));
    faults.slow_down.store(3, Ordering::Relaxed);
    let checksum = open().put_bytes("blob".into()).await.unwrap();
    assert_eq!(faults.hit.load(Ordering::Relaxed), 3);

    faults.slow_down.store(usize::MAX, Ordering::Relaxed);
    let began = Instant::now();
    let refused = open().read(&checksum, 100).await.unwrap_err();
    assert!(text_of(&refused).contains("503"), "{}", text_of(&refused));
    // Once, and five times again.
    assert_eq!(faults.hit.load(Ordering::Relaxed), 3 + 6);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

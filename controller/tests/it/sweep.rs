//! What is swept up: blobs that no record refers to, records of apps that are gone.

use std::time::{Duration, SystemTime};

use model::repository::{Code, Pushed, RefUpdate};
use model::{BuildCache, BuildId, BuildSource, Checksum, Pack, Repository, Timestamp};
use store::{BlobStore, Committed, Txn, key};

use crate::harness::{Platform, eventually};
use crate::world::id_of;

/// A blob that is older than any that waits for its record.
async fn old_blob(blobs: &BlobStore, text: &'static str) -> Checksum {
    let checksum = blobs.put_bytes(text.into()).await.unwrap();
    let file = std::fs::File::open(blobs.local_path(&checksum).unwrap()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600))
        .unwrap();
    checksum
}

fn pack(checksum: &Checksum) -> Pack {
    Pack {
        checksum: checksum.clone(),
        size: 1,
    }
}

#[tokio::test]
async fn packs_sources_and_caches_stay_as_long_as_their_records_and_litter_goes() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let blobs = platform.blobs.clone();
    let (packed, pushed, cached, litter) = (
        old_blob(&blobs, "a pack").await,
        old_blob(&blobs, "a pack of a push").await,
        old_blob(&blobs, "a cache").await,
        old_blob(&blobs, "litter").await,
    );
    let new = blobs.put_bytes("not claimed yet".into()).await.unwrap();
    let build = BuildId::new();
    let repository = Repository {
        packs: vec![pack(&packed)],
        ..Repository::empty(app)
    };
    let source = BuildSource {
        build,
        app,
        code: Code::Pushed(Pushed {
            branch: RefUpdate {
                name: "refs/heads/main".to_owned(),
                old: None,
                new: "1".repeat(40),
            },
            tags: Vec::new(),
            packs: vec![pack(&pushed)],
        }),
        attempt: 1,
    };
    let cache = BuildCache {
        app,
        checksum: cached.clone(),
        size: 1,
        updated_at: Timestamp::now(),
    };
    let places = [
        key::repository(app),
        key::build_source(app, build),
        key::build_cache(app),
    ];
    let [at_repository, at_source, at_cache] = places.clone();
    let committed = Txn::new()
        .put(&key::REPOSITORIES, at_repository, &repository)
        .put(&key::BUILD_SOURCES, at_source, &source)
        .put(&key::BUILD_CACHES, at_cache, &cache)
        .commit(&*platform.store);
    assert!(matches!(committed.await.unwrap(), Committed::Done(_)));

    // It sweeps when it starts.
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;
    let (platform, ann) = Platform::restart_on(store, dir, ann, |_| {}).await;
    eventually("the litter is gone", async || {
        !blobs.exists(&litter).await.unwrap()
    })
    .await;
    for kept in [&packed, &pushed, &cached, &new] {
        assert!(blobs.exists(kept).await.unwrap());
    }

    ann.delete("/apps/ticks").await.expect(200);
    eventually("the records are gone", async || {
        let mut left = 0;
        for place in &places {
            let found = store::Store::get(&*platform.store, place).await.unwrap();
            left += usize::from(found.is_some());
        }
        left == 0
    })
    .await;
}

use model::{AppId, SlugId, Timestamp};
use runtime::fake::{PackedFile, pack_slug};
use store::blob::BlobConfig;

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
    blobs: BlobStore,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(&BlobConfig::Local {
            dir: dir.path().join("blobs"),
        })
        .unwrap();
        Self { dir, blobs }
    }

    fn cache(&self, cache_bytes: u64) -> Arc<SlugCache> {
        let limits = Limits {
            cache_bytes,
            slug_bytes: 1 << 20,
            owner: None,
        };
        SlugCache::open(self.slugs(), self.blobs.clone(), &limits).unwrap()
    }

    fn slugs(&self) -> PathBuf {
        self.dir.path().join("slugs")
    }

    async fn slug(&self, body: &str) -> Slug {
        let (packed, checksum) = pack_slug(&[PackedFile {
            path: "bin/run",
            body,
            executable: true,
        }]);
        assert_eq!(self.blobs.put_bytes(packed.into()).await.unwrap(), checksum);
        Slug {
            id: SlugId::new(),
            app: AppId::new(),
            checksum,
            size: 1,
            unpacked_size: 1,
            commit: None,
            commit_description: None,
            language: None,
            process_types: Default::default(),
            stack: "heroku-24".to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn unfinished(&self) -> usize {
        let entries = fs_err::read_dir(self.slugs()).unwrap();
        entries
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with(UNFINISHED)
            })
            .count()
    }
}

#[tokio::test]
async fn many_launches_at_once_unpack_a_slug_once() {
    let fixture = Fixture::new();
    let (cache, slug) = (fixture.cache(1 << 20), fixture.slug("once").await);
    let leases = futures::future::join_all((0..16).map(|_| cache.get(&slug))).await;
    let inodes: std::collections::BTreeSet<_> = leases
        .iter()
        .map(|lease| {
            use std::os::unix::fs::MetadataExt as _;
            fs_err::metadata(lease.as_ref().unwrap().path().join("bin/run"))
                .unwrap()
                .ino()
        })
        .collect();
    assert_eq!(inodes.len(), 1);
    assert_eq!(fixture.unfinished(), 0);
}

#[tokio::test]
async fn the_least_used_goes_first_and_what_is_in_use_stays() {
    let fixture = Fixture::new();
    let cache = fixture.cache(10);
    let (old, used, new) = (
        fixture.slug("111111").await,
        fixture.slug("222222").await,
        fixture.slug("333333").await,
    );
    let held = cache.get(&used).await.unwrap();
    drop(cache.get(&old).await.unwrap());
    drop(cache.get(&new).await.unwrap());
    cache.evict();
    assert!(held.path().join("bin/run").exists());
    assert!(!cache.path(&old.checksum).exists());
    drop(held);
    cache.evict();
    let left = [&old, &used, &new]
        .into_iter()
        .filter(|slug| cache.path(&slug.checksum).exists())
        .count();
    assert_eq!(left, 1);
    drop(cache.get(&old).await.unwrap());
    assert!(
        cache.path(&old.checksum).exists(),
        "what was removed is unpacked again"
    );
}

#[tokio::test]
async fn another_agent_takes_over_what_is_whole_and_removes_the_rest() {
    let fixture = Fixture::new();
    let slug = fixture.slug("whole").await;
    let lease = fixture.cache(1 << 20).get(&slug).await.unwrap();
    let path = lease.path();
    fs_err::create_dir_all(fixture.slugs().join(format!("{UNFINISHED}1/app"))).unwrap();
    let torn = fixture.slugs().join("0".repeat(64));
    fs_err::create_dir(&torn).unwrap();
    Note {
        bytes: 1,
        boot: "an earlier one".to_owned(),
        synced: false,
    }
    .write(&torn)
    .unwrap();

    let cache = fixture.cache(1 << 20);
    assert!(path.exists() && cache.is_unpacked(&slug.checksum));
    assert_eq!(fixture.unfinished(), 0);
    assert!(!torn.exists(), "a power cut may have torn it");
}

#[tokio::test]
async fn a_missing_and_a_damaged_slug_are_told_apart_and_leave_nothing() {
    let fixture = Fixture::new();
    let cache = fixture.cache(1 << 20);
    let mut slug = fixture.slug("here").await;
    let whole = fixture.blobs.local_path(&slug.checksum).unwrap();
    fs_err::write(&whole, b"damaged").unwrap();
    assert!(matches!(
        cache.get(&slug).await,
        Err(SlugCacheError::Unpack(_))
    ));
    slug.checksum = "1".repeat(64).parse().unwrap();
    assert!(matches!(
        cache.get(&slug).await,
        Err(SlugCacheError::Fetch(BlobError::NotFound { .. }))
    ));
    assert_eq!(fixture.unfinished(), 0);
}

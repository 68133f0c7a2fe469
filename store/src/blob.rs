//! Large bytes (slugs, build caches, build output), named by the SHA-256 of what is in them.
//!
//! A name is a promise: what is put is hashed on the way in, what is fetched is hashed on the way out, and bytes that do
//! not match are an error, never an answer. Putting the same bytes twice stores them once. Blobs never change, so a
//! reader of [`BlobStore::local_path`] needs no lock.
//!
//! Which blobs are still wanted is not known here; whoever knows calls [`BlobStore::delete`].

mod copy;
mod files;
mod s3;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use model::{Checksum, Secret, Timestamp};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::io::AsyncWriteExt as _;

pub use self::copy::{Copied, copy_all};
use self::files::{Hasher, NewFile, hash_file};

/// A larger blob is uploaded in parts of this size, two at a time.
const PART_BYTES: usize = 8 * 1024 * 1024;
const PARTS_AT_ONCE: usize = 2;
/// A blob that is put again counts as new, so that no sweep takes it for one that nobody has claimed. Well below the time
/// that sweeps leave new blobs alone.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// What an upload that died may leave in a local store; no live one takes as long.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Where blobs live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobConfig {
    /// One directory: for one host, or many that mount the same file system. Made if it is not there.
    Local { dir: PathBuf },
    /// S3, or what speaks its language.
    S3 {
        bucket: String,
        region: String,
        /// For anything but AWS: `https://minio.example.com:9000`, asked in path style.
        endpoint: Option<String>,
        /// All blobs are below this.
        prefix: Option<String>,
        /// `None` takes the role of the machine or task it runs on.
        credentials: Option<S3Credentials>,
        /// Whether an `http://` endpoint will do.
        allow_http: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret<String>,
}

/// What a listing says of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    pub checksum: Checksum,
    pub size: u64,
    pub modified: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("could not open the blob store at {place}")]
    Open {
        place: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("there is no blob {checksum}")]
    NotFound { checksum: Checksum },
    #[error("the blob {checksum} is damaged: what is stored has the checksum {found}")]
    Damaged { checksum: Checksum, found: Checksum },
    #[error("the blob {checksum} has {size} bytes, and at most {max} are wanted")]
    TooLarge {
        checksum: Checksum,
        size: u64,
        max: u64,
    },
    #[error("the file {path} changed while it was being stored")]
    Changed { path: PathBuf },
    #[error("{doing} {checksum} failed")]
    Blob {
        doing: &'static str,
        checksum: Checksum,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("listing the blobs failed")]
    List {
        #[source]
        source: object_store::Error,
    },
    #[error("{doing} {path} failed")]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    objects: Arc<dyn ObjectStore>,
    /// Of a local store; canonical.
    dir: Option<PathBuf>,
    prefix: String,
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobStore({}{})", self.objects, self.prefix)
    }
}

impl BlobStore {
    /// Makes a local store's directory; of S3 only the configuration is checked.
    pub fn open(config: &BlobConfig) -> Result<Self, BlobError> {
        match config {
            BlobConfig::Local { dir } => Self::open_local(dir),
            BlobConfig::S3 { bucket, prefix, .. } => {
                let place = format!("s3://{bucket}");
                let objects = s3::open(config).map_err(|source| BlobError::Open {
                    place,
                    source: source.into(),
                })?;
                let prefix = prefix.as_deref().unwrap_or_default().trim_matches('/');
                let prefix = if prefix.is_empty() {
                    String::new()
                } else {
                    format!("{prefix}/")
                };
                Ok(Self {
                    objects,
                    dir: None,
                    prefix,
                })
            }
        }
    }

    fn open_local(dir: &Path) -> Result<Self, BlobError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| BlobError::Open {
            place: dir.display().to_string(),
            source,
        };
        fs_err::create_dir_all(dir).map_err(|e| failed(e.into()))?;
        let dir = fs_err::canonicalize(dir).map_err(|e| failed(e.into()))?;
        files::remove_abandoned(&dir, ABANDONED_AFTER).map_err(|e| failed(e.into()))?;
        let objects = LocalFileSystem::new_with_prefix(&dir)
            .map_err(|e| failed(e.into()))?
            .with_fsync(true);
        Ok(Self {
            objects: Arc::new(objects),
            dir: Some(dir),
            prefix: String::new(),
        })
    }

    /// Stores a file's bytes, reading it twice: once for its name, once to send it.
    pub async fn put_file(&self, path: &Path) -> Result<Checksum, BlobError> {
        let (checksum, size) = hash_file(path).await?;
        if !self.is_stored(&checksum, size).await? {
            self.upload(path, &checksum, size).await?;
        }
        Ok(checksum)
    }

    pub async fn put_bytes(&self, bytes: Bytes) -> Result<Checksum, BlobError> {
        let checksum = checksum_of(bytes.clone()).await;
        if !self.is_stored(&checksum, bytes.len() as u64).await? {
            let put = self
                .objects
                .put(&self.location(&checksum), bytes.into())
                .await;
            put.map_err(|error| blob_error("storing", &checksum, error))?;
        }
        Ok(checksum)
    }

    /// Writes a blob to `path`, which is whole and durable when it appears, or does not appear.
    pub async fn fetch_to(&self, checksum: &Checksum, path: &Path) -> Result<(), BlobError> {
        let doing = "fetching";
        let new = NewFile::beside(path)?;
        let found = if let Some(source) = self.local_path(checksum) {
            new.copy_from(source).await.map_err(|error| match error {
                BlobError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    BlobError::NotFound {
                        checksum: checksum.clone(),
                    }
                }
                error => error,
            })?
        } else {
            let got = self.objects.get(&self.location(checksum)).await;
            let mut stream = got
                .map_err(|error| blob_error(doing, checksum, error))?
                .into_stream();
            let (mut file, mut hasher) = (new.writer()?, Hasher::default());
            while let Some(chunk) = stream
                .try_next()
                .await
                .map_err(|error| blob_error(doing, checksum, error))?
            {
                hasher.update(&chunk);
                file.write_all(&chunk)
                    .await
                    .map_err(|source| new.failed(source))?;
            }
            file.flush().await.map_err(|source| new.failed(source))?;
            hasher.finish()
        };
        if found != *checksum {
            return Err(BlobError::Damaged {
                checksum: checksum.clone(),
                found,
            });
        }
        new.persist().await
    }

    /// A small blob, into memory.
    pub async fn read(&self, checksum: &Checksum, max_bytes: u64) -> Result<Bytes, BlobError> {
        let failed = |error| blob_error("reading", checksum, error);
        let got = self
            .objects
            .get(&self.location(checksum))
            .await
            .map_err(failed)?;
        let size = got.meta.size;
        if size > max_bytes {
            return Err(BlobError::TooLarge {
                checksum: checksum.clone(),
                size,
                max: max_bytes,
            });
        }
        let bytes = got.bytes().await.map_err(failed)?;
        let found = checksum_of(bytes.clone()).await;
        if found != *checksum {
            return Err(BlobError::Damaged {
                checksum: checksum.clone(),
                found,
            });
        }
        Ok(bytes)
    }

    pub async fn size(&self, checksum: &Checksum) -> Result<u64, BlobError> {
        match self.head(checksum).await? {
            Some(meta) => Ok(meta.size),
            None => Err(BlobError::NotFound {
                checksum: checksum.clone(),
            }),
        }
    }

    pub async fn exists(&self, checksum: &Checksum) -> Result<bool, BlobError> {
        Ok(self.head(checksum).await?.is_some())
    }

    /// Deleting what is not there is no error.
    pub async fn delete(&self, checksum: &Checksum) -> Result<(), BlobError> {
        match self.objects.delete(&self.location(checksum)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(blob_error("deleting", checksum, error)),
        }
    }

    /// Every blob; what else lies in the same place is left out.
    pub async fn list(&self) -> Result<Vec<BlobInfo>, BlobError> {
        let prefix = (!self.prefix.is_empty()).then(|| Location::from(self.prefix.as_str()));
        self.objects
            .list(prefix.as_ref())
            .try_filter_map(|meta| async move { Ok(info(&meta)) })
            .try_collect()
            .await
            .map_err(|source| BlobError::List { source })
    }

    /// The file that holds the blob, if blobs are files here; it need not exist. What is opened there is not verified.
    pub fn local_path(&self, checksum: &Checksum) -> Option<PathBuf> {
        let dir = self.dir.as_ref()?;
        Some(dir.join(self.location(checksum).as_ref()))
    }

    /// When the blob was last put; `None` when there is none.
    pub async fn modified(&self, checksum: &Checksum) -> Result<Option<Timestamp>, BlobError> {
        let meta = self.head(checksum).await?;
        Ok(meta.and_then(|meta| info(&meta)).map(|info| info.modified))
    }

    /// One cut short (by a dying disk, say) counts as missing, and so does an old one: both are stored anew.
    async fn is_stored(&self, checksum: &Checksum, size: u64) -> Result<bool, BlobError> {
        let found = self.head(checksum).await?.as_ref().and_then(info);
        Ok(found.is_some_and(|found| {
            let age = Timestamp::now().duration_since(found.modified);
            found.size == size && age.unsigned_abs() < FRESH
        }))
    }

    async fn head(&self, checksum: &Checksum) -> Result<Option<ObjectMeta>, BlobError> {
        match self.objects.head(&self.location(checksum)).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(blob_error("looking for", checksum, error)),
        }
    }

    async fn upload(&self, path: &Path, checksum: &Checksum, size: u64) -> Result<(), BlobError> {
        let failed = |error| blob_error("storing", checksum, error);
        let changed = || BlobError::Changed {
            path: path.to_owned(),
        };
        let mut source = files::Parts::open(path, PART_BYTES).await?;
        let location = self.location(checksum);
        if size <= PART_BYTES as u64 {
            let bytes = source.next().await?;
            if source.finish() != *checksum {
                return Err(changed());
            }
            self.objects
                .put(&location, bytes.into())
                .await
                .map_err(failed)?;
            return Ok(());
        }
        let upload = self
            .objects
            .put_multipart(&location)
            .await
            .map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let sent = async {
            loop {
                let part = source.next().await?;
                if part.is_empty() {
                    break;
                }
                upload
                    .wait_for_capacity(PARTS_AT_ONCE)
                    .await
                    .map_err(failed)?;
                upload.put(part);
            }
            if source.finish() == *checksum {
                Ok(())
            } else {
                Err(changed())
            }
        };
        match sent.await {
            Ok(()) => upload.finish().await.map(drop).map_err(failed),
            Err(error) => {
                // The first error is the one to tell.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// `ab/abcdef…`: no directory gets too full.
    fn location(&self, checksum: &Checksum) -> Location {
        let name = checksum.as_str();
        let folder: String = name.chars().take(2).collect();
        Location::from(format!("{}{folder}/{name}", self.prefix))
    }
}

fn blob_error(doing: &'static str, checksum: &Checksum, error: object_store::Error) -> BlobError {
    match error {
        object_store::Error::NotFound { .. } => BlobError::NotFound {
            checksum: checksum.clone(),
        },
        error => BlobError::Blob {
            doing,
            checksum: checksum.clone(),
            source: error.into(),
        },
    }
}

fn info(meta: &ObjectMeta) -> Option<BlobInfo> {
    let checksum = meta.location.filename()?.parse().ok()?;
    let modified = Timestamp::from_second(meta.last_modified.timestamp()).ok()?;
    Some(BlobInfo {
        checksum,
        size: meta.size,
        modified,
    })
}

/// Off the async threads when it takes a while.
async fn checksum_of(bytes: Bytes) -> Checksum {
    const A_WHILE: usize = 256 * 1024;
    if bytes.len() < A_WHILE {
        Hasher::hash(&bytes)
    } else {
        files::blocking(move || Hasher::hash(&bytes)).await
    }
}

//! Every blob of one store, copied to another and read back there.

use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _};

use super::{BlobError, BlobInfo, BlobStore};

const AT_ONCE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    pub blobs: usize,
    pub bytes: u64,
    /// Of them, those that the target did not have.
    pub written: usize,
}

/// Copies what `target` lacks, and verifies all of it there by hash. `scratch` is a directory for blobs on their way; `tell`
/// is told of each one: blobs done so far, and in all. Run again after an error or a crash, it goes on where it was.
pub async fn copy_all(
    source: &BlobStore,
    target: &BlobStore,
    scratch: &Path,
    mut tell: impl FnMut(usize, usize),
) -> Result<Copied, BlobError> {
    fs_err::create_dir_all(scratch).map_err(|source| BlobError::File {
        doing: "making",
        path: scratch.to_owned(),
        source,
    })?;
    let blobs = source.list().await?;
    let all = blobs.len();
    let mut copied = Copied::default();
    let mut copies = futures::stream::iter(blobs)
        .map(|blob| async move {
            let is_new = copy(source, target, &blob, scratch).await?;
            Ok::<_, BlobError>((blob.size, is_new))
        })
        .buffer_unordered(AT_ONCE);
    while let Some((bytes, is_new)) = copies.try_next().await? {
        copied.blobs += 1;
        copied.bytes += bytes;
        copied.written += usize::from(is_new);
        tell(copied.blobs, all);
    }
    Ok(copied)
}

/// Whether the target did not have it.
async fn copy(
    source: &BlobStore,
    target: &BlobStore,
    blob: &BlobInfo,
    scratch: &Path,
) -> Result<bool, BlobError> {
    let place = scratch.join(blob.checksum.as_str());
    let there = target.fetch_to(&blob.checksum, &place).await;
    let is_new = match there {
        Ok(()) => false,
        Err(BlobError::NotFound { .. }) => {
            source.fetch_to(&blob.checksum, &place).await?;
            target.put_file(&place).await?;
            true
        }
        // One that was cut short, or decayed: replaced, as putting alone would not.
        Err(BlobError::Damaged { .. }) => {
            source.fetch_to(&blob.checksum, &place).await?;
            target.delete(&blob.checksum).await?;
            target.put_file(&place).await?;
            true
        }
        Err(error) => return Err(error),
    };
    if is_new {
        target.fetch_to(&blob.checksum, &place).await?;
    }
    fs_err::tokio::remove_file(&place)
        .await
        .map_err(|source| BlobError::File {
            doing: "removing",
            path: place,
            source,
        })?;
    Ok(is_new)
}

//! Slugs for tests.

use model::Checksum;
use sha2::{Digest as _, Sha256};

/// A file of a slug.
#[derive(Debug, Clone, Copy)]
pub struct PackedFile<'a> {
    pub path: &'a str,
    pub body: &'a str,
    pub executable: bool,
}

/// What the builder would have stored for these files. Panics where a test should fail.
#[expect(
    clippy::expect_used,
    reason = "for tests only: writing to memory does not fail"
)]
pub fn pack_slug(files: &[PackedFile<'_>]) -> (Vec<u8>, Checksum) {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.body.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        builder
            .append_data(&mut header, file.path, file.body.as_bytes())
            .expect("a file in memory");
    }
    let packed = builder.into_inner().expect("an archive in memory");
    let packed = zstd::encode_all(packed.as_slice(), 1).expect("compression in memory");
    let checksum = hex::encode(Sha256::digest(&packed))
        .parse()
        .expect("64 hex digits");
    (packed, checksum)
}

//! The blob store on a real S3 server: Garage, an object store made for production. `tests/s3` installs it and runs this.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod real_s3 {
    #[path = "../it/blob.rs"]
    mod blob;
    mod faults;
    mod garage;
    mod promises;
}

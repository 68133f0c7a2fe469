//! The store's integration tests: one binary.

mod it {
    mod embedded;
}

//! The product, told as its users live it: real Docker, real git, the built binaries.

mod stories {
    mod access;
    mod build_limits;
    mod deploy;
    mod failures;
    mod git;
    mod kill;
    mod operate;
    mod run;
    mod zero_loss;
}

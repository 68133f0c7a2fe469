//! The product, told as its users live it.

mod stories {
    mod deploy;
}

//! Integration tests of the provisioning crate, in one binary.

mod it {
    mod doctor;
    mod local_ca;
}

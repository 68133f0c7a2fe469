//! Integration tests of the provisioning crate, in one binary.

#[cfg(test)]
mod it {
    mod docker_up;
    mod doctor;
    mod etcd;
    mod local_ca;
    mod scripts;
}

//! Embedded files change without any Rust file changing: tell cargo where they are.

fn main() {
    for folder in ["packs", "driver"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}

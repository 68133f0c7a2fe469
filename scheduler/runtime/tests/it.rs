//! One suite over both engines, and what only a real one can show.

mod it {
    mod confinement;
    mod docker;
    mod engine;
    mod suite;
}

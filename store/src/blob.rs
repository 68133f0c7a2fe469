//! Large bytes, named by what is in them.

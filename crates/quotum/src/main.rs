//! The `quotum` binary.

fn main() {}

//! The one binary: every service and the command line.

fn main() {}

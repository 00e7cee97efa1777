//! The scenarios of `quotum-cluster`, one trial each.

use std::process::ExitCode;

fn main() -> ExitCode {
    quotum_cluster::run(std::env::args().collect())
}

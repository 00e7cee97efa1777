//! What must hold of every history, whatever the faults.
//!
//! Each file is one invariant: a function from a history to its violations. Names are those of the
//! promises: G1 to G3 of the limits, I1 to I13 of the system around them, NU of never under.

use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

mod g1_attribution;
mod g2_real_time;
mod g3_sliding;
mod i10_bounds;
mod i11_liveness;
mod i12_denials;
mod i13_explained;
mod i1_acknowledged;
mod i2_kept;
mod i3_once;
mod i4_time;
mod i5_order;
mod i6_digests;
mod i7_log;
mod i8_holds;
mod i9_used;
mod never_under;

type Invariant = fn(&Index, &Replay) -> Vec<Violation>;

/// All of them, by name.
pub const ALL: [(&str, Invariant); 17] = [
    ("G1", g1_attribution::check),
    ("G2", g2_real_time::check),
    ("G3", g3_sliding::check),
    ("I1", i1_acknowledged::check),
    ("I2", i2_kept::check),
    ("I3", i3_once::check),
    ("I4", i4_time::check),
    ("I5", i5_order::check),
    ("I6", i6_digests::check),
    ("I7", i7_log::check),
    ("I8", i8_holds::check),
    ("I9", i9_used::check),
    ("I10", i10_bounds::check),
    ("I11", i11_liveness::check),
    ("I12", i12_denials::check),
    ("I13", i13_explained::check),
    ("NU", never_under::check),
];

fn violation(invariant: &'static str, at_us: u64, what: String) -> Violation {
    Violation {
        invariant,
        at_us,
        what,
    }
}

//! Which invariants are expected to catch each bug that is put in: those whose promise it breaks. A run
//! that only panics, or does not end, has caught nothing.

use quotum_limit::bugs::Bug;

/// The bugs, and the invariants of which one must be violated.
const EXPECTED: [(Bug, &[&str]); 14] = [
    (Bug::RetryChargedAgain, &["I3"]),
    (Bug::ProposersClock, &["I4"]),
    (Bug::LocalClock, &["I6"]),
    (Bug::AckBeforeSync, &["I2", "I7"]),
    (Bug::TruncateAtRot, &["I11"]),
    (Bug::RefundNextWindow, &["G1", "I12"]),
    (Bug::NegativeUnits, &["G1"]),
    (Bug::SnapshotForgetsIds, &["I3", "I6"]),
    (Bug::LogClockSteps, &["I4"]),
    (Bug::EvictedRefills, &["G1", "I6", "I12"]),
    (Bug::PartialCharge, &["I12"]),
    (Bug::StaleLeader, &["I2", "I5"]),
    (Bug::LateForward, &["G2", "G3"]),
    (Bug::DenialKept, &["NU"]),
];

/// Whether one of the invariants that a run has violated is one that is expected of the bug of this
/// name.
pub(crate) fn is_caught(name: &str, violated: &[String]) -> bool {
    let known = quotum_limit::bugs::ALL.iter();
    let of_name = known.filter(|(_, known, _)| *known == name);
    let expected = of_name.flat_map(|(bug, ..)| EXPECTED.iter().filter(move |one| one.0 == *bug));
    expected
        .flat_map(|(_, invariants)| *invariants)
        .any(|expected| violated.iter().any(|one| one == expected))
}

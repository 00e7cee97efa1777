use std::io;

use super::{Exit, Failure};

#[derive(Debug, thiserror::Error)]
#[error("the file cannot be read")]
struct Outer(#[source] io::Error);

#[test]
fn a_failure_tells_its_causes_and_the_next_step_in_one_line() {
    let cause = Outer(io::Error::new(io::ErrorKind::NotFound, "no such file"));
    let failure = Failure::failed("the policy was not checked")
        .because(&cause)
        .next("name another file");
    let text = "the policy was not checked: the file cannot be read: no such file; \
                name another file";
    assert_eq!(failure.to_string(), text);
    assert_eq!(failure.exit, Exit::Failed);
}

#[test]
fn a_cause_that_was_told_already_is_not_repeated() {
    #[derive(Debug, thiserror::Error)]
    #[error("outside: {0}")]
    struct Repeats(#[source] io::Error);
    let failure = Failure::usage("x").because(&Repeats(io::Error::other("inside")));
    assert_eq!(failure.to_string(), "x: outside: inside");
}

//! I10: nothing grows beyond its named maximum: counters, ids, queues, logs, snapshots.

use super::violation;
use crate::index::Index;
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let crowds = replay.of_kind(&[Kind::Crowd]);
    let crowds = crowds.map(|one| violation("I10", one.at_us, one.what.clone()));
    let over = index.bounds.iter().filter(|(.., value, max)| value > max);
    let over = over.map(|(at_us, node, bound, value, max)| {
        let what = format!("node {node}: {bound} is {value}, at most {max}");
        violation("I10", *at_us, what)
    });
    crowds.chain(over).collect()
}

#[cfg(test)]
mod tests {
    use crate::What;
    use crate::history::Answer;
    use crate::sample::{Sample, acquire, admitted, item, open};

    /// With two counters at most: two are live, and a third is asked for.
    fn third(log_ms: u64, answer: Answer) -> Sample {
        let mut sample = Sample::new();
        sample.counters_max = Some(2);
        let one =
            |key: &str, seq: u64| acquire((1, seq), vec![item(key, 9, 1)], admitted(&[8], 9, 900));
        sample.entry(1, 5_100, vec![open(1), one("a", 1), one("b", 2)]);
        let third = acquire((1, 3), vec![item("c", 9, 1)], answer);
        sample.wait_us(1_000_000).entry(2, log_ms, vec![third]);
        sample
    }

    #[test]
    fn one_counter_too_many_is_caught_and_so_is_a_refusal_with_room() {
        let taken = || admitted(&[8], 9, 900);
        assert_eq!(third(6_100, taken()).violated(), Vec::<&str>::new());
        assert_eq!(third(5_100, taken()).violated(), ["I10"]);
        let refused = || Answer::Exhausted;
        assert_eq!(third(5_100, refused()).violated(), Vec::<&str>::new());
        assert_eq!(third(6_100, refused()).violated(), ["NU"]);
    }

    #[test]
    fn a_bound_that_is_passed_is_caught() {
        for (value, violated) in [(10, vec![]), (11, vec!["I10"])] {
            let mut sample = Sample::new();
            sample.push(What::Bound {
                node: 1,
                bound: "counters".into(),
                value,
                max: 10,
            });
            assert_eq!(sample.violated(), violated);
        }
    }
}

//! I10: nothing grows beyond its named maximum: counters, ids, queues, logs, snapshots.

use super::violation;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let over = index.bounds.iter().filter(|(.., value, max)| value > max);
    over.map(|(at_us, node, bound, value, max)| {
        let what = format!("node {node}: {bound} is {value}, at most {max}");
        violation("I10", *at_us, what)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::What;
    use crate::sample::Sample;

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

//! Any text is a configuration, or is refused with at least one problem that has a place; any
//! request under it has a plan of bounded items, or is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_descriptor::{Asked, Config, Entry, File, Plan, Request, limits};

fuzz_target!(|text: &str| {
    let name = "f.yaml".to_owned();
    let file = File { name, text: text.to_owned() };
    let config = match Config::parse(&[file], 1) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.problems().is_empty());
            for problem in error.problems() {
                assert!(problem.line >= 1 && problem.column >= 1 && !problem.message.is_empty());
            }
            return;
        }
    };
    // The words of the text itself are what its descriptors are likely to match.
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(':')).collect();
    for domain in config.domains() {
        let descriptors = words.chunks(4).take(8).map(|chunk| Asked {
            entries: chunk
                .chunks(2)
                .map(|pair| Entry { key: pair[0], value: pair.get(1).copied().unwrap_or("") })
                .collect(),
            limit: None,
            hits: chunk.len() as u64 % 3,
        });
        let request = Request { domain: domain.name(), descriptors: descriptors.collect() };
        if let Ok(plan) = Plan::new(&config, &request) {
            assert!(plan.items.len() <= limits::LIMITED_MAX);
            if plan.items.is_empty() {
                assert!(!plan.undecided().is_over);
            }
            assert_eq!(plan.exhausted().statuses.len(), request.descriptors.len());
        }
    }
});

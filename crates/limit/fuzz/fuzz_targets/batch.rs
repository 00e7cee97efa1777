//! A log entry: any bytes decode or are refused, and what decodes is applied without a panic,
//! encodes to the same bytes, and never charges beyond a max.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_limit::{Batch, Command, Outcome, Stamp, State};

fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = Batch::decode(&bytes.to_vec().into()) else { return };
    assert_eq!(batch.encode(), bytes);
    let mut state = State::new(1);
    let outcomes = state.apply_batch(&batch);
    assert_eq!(outcomes.len(), batch.commands.len());
    for (command, outcome) in batch.commands.iter().zip(&outcomes) {
        if let (
            Command::Acquire { items, .. } | Command::Reserve { items, .. },
            Outcome::Admitted { items: states, .. } | Outcome::Reserved { items: states, .. },
        ) = (command, outcome)
        {
            for (item, state) in items.iter().zip(states) {
                assert!(!state.fits || item.units + state.remaining <= state.max);
            }
        }
    }
    // Holds end, windows slide, and what is over goes, without a panic.
    let mut later = state.clone();
    for ms in [1_000, 70_000, 4_000_000_000] {
        let at = state.last_stamp().log.plus_ms(ms);
        later.advance(Stamp { log: at, reference_ms: 0 }, batch.commands.len());
        later.apply_batch(&batch);
        later.digest();
    }
    let copy = State::decode(&state.encode(), 2).expect("what was encoded decodes");
    assert_eq!(copy.digest(), state.digest());
    // The same entry again changes nothing that its ids have settled.
    let mut again = copy;
    again.apply_batch(&batch);
});

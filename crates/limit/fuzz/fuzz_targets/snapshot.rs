//! A snapshot: any bytes decode or are refused; what decodes goes on without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_limit::{Caller, Command, State};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut state) = State::decode(bytes, 1) else { return };
    let digest = state.digest();
    assert_eq!(State::decode(&state.encode(), 2).expect("decodes again").digest(), digest);
    let later = state.last_stamp().log.plus_ms(1_000);
    state.apply(later, &Command::Open { caller: Caller(1) });
    state.digest();
});

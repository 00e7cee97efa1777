//! Any bytes as a command or a state from another node: refused, or the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_registry::{Command, State};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut state) = State::decode(bytes) {
        let written = state.encode();
        let again = State::decode(&written).expect("we wrote it");
        assert_eq!(again.digest(), state.digest());
        if let Ok(command) = Command::decode(bytes) {
            state.apply(&command);
        }
    }
    if let Ok(command) = Command::decode(bytes) {
        assert_eq!(Command::decode(&command.encode()).expect("we wrote it"), command);
        let mut state = State::new();
        assert_eq!(state.check(&command), state.apply(&command));
    }
});

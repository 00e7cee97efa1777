use proptest::prelude::*;

use super::*;
use crate::state::model;

proptest! {
    #[test]
    fn a_decoded_state_answers_as_the_encoded_one(
        before in model::any_script(), after in model::any_script(),
    ) {
        let mut state = State::new(1);
        model::run(&mut state, &before);
        let bytes = state.encode();
        // Another seed: nothing may depend on how keys are hashed.
        let mut copy = State::decode(&bytes, 2).unwrap();
        prop_assert_eq!(copy.digest(), state.digest());
        prop_assert_eq!(model::run(&mut copy, &after), model::run(&mut state, &after));
        prop_assert_eq!(copy.digest(), state.digest());
    }

    #[test]
    fn every_cut_of_a_snapshot_is_refused(
        script in model::any_script(), cut in any::<prop::sample::Index>(),
    ) {
        let mut state = State::new(1);
        model::run(&mut state, &script);
        let bytes = state.encode();
        prop_assert!(State::decode(&bytes[..cut.index(bytes.len())], 1).is_err());
    }

    #[test]
    fn a_damaged_snapshot_never_panics(
        script in model::any_script(), at in any::<prop::sample::Index>(), bit in 0..8_u32,
    ) {
        let mut state = State::new(1);
        model::run(&mut state, &script);
        let mut bytes = state.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(mut decoded) = State::decode(&bytes, 1) {
            model::run(&mut decoded, &script);
        }
    }
}

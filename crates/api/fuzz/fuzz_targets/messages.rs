//! Any bytes as a message of a client or of another node: converted whole, or refused with a place.
//! What was converted says the same when it is written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use quotum_api::{ConvertError, command_to_wire, counter, items_from_wire};
use quotum_limit as limit;

/// A refusal names where and what.
fn told<T>(converted: Result<T, ConvertError>) -> Option<T> {
    if let Err(error) = &converted {
        assert!(!error.to_string().is_empty());
    }
    converted.ok()
}

fn request(bytes: &[u8]) {
    let Ok(request) = counter::DecideRequest::decode(bytes) else { return };
    let (epoch, acked_seq) = (request.epoch, request.acked_seq);
    let Some(commands) = told(request.clone().into_commands()) else { return };
    assert_eq!(commands.len(), request.commands.len());
    let again = counter::DecideRequest {
        commands: commands.iter().cloned().map(command_to_wire).collect(),
        epoch,
        acked_seq,
        ..request
    };
    let again = again.encode_to_vec();
    let again = counter::DecideRequest::decode(&again[..]).expect("we wrote it");
    assert_eq!(again.into_commands().expect("it was converted before"), commands);
}

fn outcome(bytes: &[u8]) {
    let Ok(outcome) = counter::Outcome::decode(bytes) else { return };
    let Some(outcome) = told(limit::Outcome::try_from(outcome)) else { return };
    let wire = counter::Outcome::from(outcome.clone());
    assert_eq!(limit::Outcome::try_from(wire).expect("it was converted before"), outcome);
}

fn unary(bytes: &[u8]) {
    if let Ok(request) = counter::AcquireRequest::decode(bytes) {
        told(items_from_wire(request.items));
    }
    if let Ok(request) = counter::PeekRequest::decode(bytes) {
        told(items_from_wire(request.items));
    }
}

fuzz_target!(|bytes: &[u8]| {
    request(bytes);
    outcome(bytes);
    unary(bytes);
});

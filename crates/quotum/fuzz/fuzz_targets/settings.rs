//! Any text is the settings of a counter node and of a gateway, or is refused with its place: what
//! is accepted keeps its bounds, and no secret is shown.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| quotum::try_settings(text));

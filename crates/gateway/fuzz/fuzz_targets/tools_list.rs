//! Whatever an upstream answers: no reader finds a hidden tool in what passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_gateway::inspect::Inspector;
use serde_json::Value;

fuzz_target!(|message: &[u8]| {
    let id = Some("1".to_owned());
    let mut inspector = Inspector { id, lists_tools: true, modern: true, tasks: None };
    let Ok(inspected) = inspector.inspect(message, &mut |tool| tool != "b") else { return };
    let text = inspected.text.as_deref().map_or(message, str::as_bytes);
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    let messages = value.as_array().cloned().unwrap_or_else(|| vec![value]);
    for tool in messages.iter().filter_map(|one| one["result"]["tools"].as_array()).flatten() {
        assert_ne!(tool["name"], "b");
    }
});

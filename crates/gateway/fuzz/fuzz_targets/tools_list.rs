//! Whatever an upstream answers: no reader finds a hidden tool in what passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_gateway::filter::Sight;
use quotum_gateway::inspect::Inspector;
use serde_json::Value;

fuzz_target!(|message: &[u8]| {
    let id = Some("1".to_owned());
    let mut inspector = Inspector { id, lists_tools: true, modern: true, tasks: None };
    let sight = Sight { visible: &|tool| tool != "b", names_hidden: &|text| text.contains('b') };
    let Ok(inspected) = inspector.inspect(message, sight) else { return };
    let text = inspected.text.as_deref().map_or(message, str::as_bytes);
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    let messages = value.as_array().cloned().unwrap_or_else(|| vec![value]);
    for tool in messages.iter().filter_map(|one| one["result"]["tools"].as_array()).flatten() {
        assert_ne!(tool["name"], "b");
    }
    for result in messages.iter().map(|one| &one["result"]) {
        let told = result["instructions"].as_str();
        assert!(told.is_none_or(|text| !text.contains('b')));
    }
});

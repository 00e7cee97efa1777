//! Whatever bytes a client sends: the gateway reads them as every other reader does, or refuses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_gateway::json::scan_request;
use quotum_gateway::method::ToolCall;
use quotum_gateway::shape::classify;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(members) = scan_request(body) else { return };
    let other: Value = serde_json::from_slice(body).expect("strict JSON is JSON");
    for (name, value) in &members {
        let again: Value = serde_json::from_str(value.text()).expect("a member is a value");
        assert_eq!(other[name.as_ref()], again);
    }
    let Ok(message) = classify(members) else { return };
    let Some((method, params)) = message.call() else { return };
    assert_eq!(other["method"], method);
    if let Ok(call) = ToolCall::read(params) {
        assert_eq!(other["params"]["name"], call.tool.as_ref());
    }
});

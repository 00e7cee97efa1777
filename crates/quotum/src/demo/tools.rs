//! The tools of the demo server: those of a shop that talks to its customers. None does anything.

use serde_json::{Value, json};

pub(crate) const INSTRUCTIONS: &str = "A demo: its tools send nothing and charge nobody.";

/// The tools, as `tools/list` shows them.
pub(crate) fn list() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!([
        {
            "name": "send_interactive_flow",
            "title": "Send an interactive flow",
            "description": "Sends a customer a message with buttons to press.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "to": text("The customer's phone number"),
                    "flow": text("Which flow to send, such as order_update"),
                    "text": text("What stands above the buttons"),
                },
            },
        },
        {
            "name": "list_customers",
            "title": "List customers",
            "description": "Lists customers by name.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "limit": { "type": "integer", "minimum": 1, "maximum": 100 },
                },
            },
            "annotations": { "readOnlyHint": true },
        },
        {
            "name": "create_charge",
            "title": "Create a charge",
            "description": "Charges a customer's card.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "customer": text("The customer's id"),
                    "amount": { "type": "integer", "minimum": 1, "description": "In cents" },
                    "reason": text("What the customer reads on the bill"),
                },
                "required": ["amount"],
            },
        },
        {
            "name": "delete_account",
            "title": "Delete an account",
            "description": "Deletes a customer's account for good.",
            "inputSchema": {
                "type": "object",
                "properties": { "customer": text("The customer's id") },
                "required": ["customer"],
            },
            "annotations": { "destructiveHint": true },
        },
    ])
}

/// Runs a tool; `None`: there is none of that name. Arguments that are missing have a default.
pub(crate) fn run(name: &str, arguments: &Value) -> Option<String> {
    let text = |member: &str, default: &str| {
        let value = arguments[member].as_str().unwrap_or(default);
        value.chars().take(64).collect::<String>()
    };
    let customer = || text("customer", "c-1");
    Some(match name {
        "send_interactive_flow" => {
            let (flow, to) = (text("flow", "order_update"), text("to", "+49 30 123456"));
            format!("sent flow {flow} to {to}")
        }
        "list_customers" => "c-1 Ada Lovelace, c-2 Grace Hopper, c-3 Mary Shaw".to_owned(),
        "create_charge" => {
            let amount = &arguments["amount"];
            format!("charged {} to {}", amount.as_u64().unwrap_or(0), customer())
        }
        "delete_account" => format!("deleted {}", customer()),
        _ => return None,
    })
}

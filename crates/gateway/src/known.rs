//! Tool names that upstreams have listed: only such a name may become a metric label.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::limits::{KNOWN_SERVERS_MAX, KNOWN_TOOLS_PER_SERVER_MAX, TOOL_NAME_BYTES_MAX};

#[cfg(test)]
mod tests;

/// The names, by server. Cheap to clone; bounded; what finds no room is not remembered.
#[derive(Debug, Clone, Default)]
pub struct KnownTools(Arc<RwLock<BTreeMap<String, BTreeSet<String>>>>);

// === impl KnownTools ===

impl KnownTools {
    pub fn contains(&self, server: &str, tool: &str) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(server).is_some_and(|tools| tools.contains(tool))
    }

    /// Remembers that `server` has listed `tool`.
    pub fn learn(&self, server: &str, tool: &str) {
        if tool.len() > TOOL_NAME_BYTES_MAX || self.contains(server, tool) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(server) && known.len() >= KNOWN_SERVERS_MAX {
            return;
        }
        let tools = known.entry(server.to_owned()).or_default();
        if tools.len() < KNOWN_TOOLS_PER_SERVER_MAX {
            tools.insert(tool.to_owned());
        }
    }
}

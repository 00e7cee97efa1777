//! Filtering of tool lists: takes hidden tools out of any message of an upstream, and a server's
//! instructions that name one, and what a server says of tasks where they are off; and leaves every
//! other byte as it was. A list that cannot be read with certainty is no list.

use std::ops::Range;

use crate::json::{Kind, Raw};
use crate::limits::LIST_TTL_MS_MAX;
use crate::method::Tasks;
use crate::task;

#[cfg(test)]
mod tests;

/// What a client may see.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Whether a tool may be shown.
    pub visible: &'a dyn Fn(&str) -> bool,
    /// Whether a text may name a tool that is not shown.
    pub names_hidden: &'a dyn Fn(&str) -> bool,
}

/// How lists are filtered.
#[derive(Clone, Copy)]
pub struct Listing<'a> {
    pub sight: Sight<'a>,
    /// Lists of the modern era say who may cache them, even where the upstream says nothing.
    pub modern: bool,
    /// Whether calls may become tasks: if not, no server may say so.
    pub tasks: Tasks,
}

/// A message that could mean different things to different readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message of the upstream is ambiguous")]
pub struct Ambiguous;

/// A place of the text, and what stands there instead.
pub type Edit = (Range<usize>, String);

/// The members of a result that matter here, each at most once.
#[derive(Default)]
struct Members<'a> {
    tools: Option<Raw<'a>>,
    /// What a server tells a model about itself when it is first asked.
    instructions: Option<Raw<'a>>,
    /// What it tells a client about itself there.
    capabilities: Option<Raw<'a>>,
    cache_scope: Option<Raw<'a>>,
    ttl: Option<Raw<'a>>,
}

/// Filters a message, or each message of an array. `None`: nothing has to change.
pub fn filter(message: Raw<'_>, listing: Listing<'_>) -> Result<Option<String>, Ambiguous> {
    let mut edits = Vec::new();
    match message.kind() {
        Kind::Array => {
            for element in message.elements() {
                edit_message(message, element, listing, &mut edits)?;
            }
        }
        _ => edit_message(message, message, listing, &mut edits)?,
    }
    Ok(apply(message.text(), edits))
}

/// Whether a message is, or holds, the result of `tools/list`.
pub fn has_tools(message: Raw<'_>) -> bool {
    let of_one = |one: Raw<'_>| {
        let tools = one.get("result").and_then(|result| result.get("tools"));
        tools.is_some_and(|tools| tools.kind() == Kind::Array)
    };
    of_one(message) || message.elements().any(of_one)
}

fn edit_message(
    whole: Raw<'_>,
    message: Raw<'_>,
    listing: Listing<'_>,
    edits: &mut Vec<Edit>,
) -> Result<(), Ambiguous> {
    match message.kind() {
        Kind::Object => {}
        // An array in an array is no message; whoever reads it as one must not see a list.
        Kind::Array => return Err(Ambiguous),
        _ => return Ok(()),
    }
    let mut results = message.members().filter(|(name, _)| name == "result");
    let Some((_, result)) = results.next() else {
        return Ok(());
    };
    if results.next().is_some() {
        return Err(Ambiguous);
    }
    let members = Members::of(result)?;
    let named = |text: &Raw<'_>| names_hidden(*text, listing.sight);
    if let Some(instructions) = members.instructions.filter(named) {
        edits.push((range_in(whole, instructions), "\"\"".to_owned()));
    }
    if let (Tasks::Off, Some(capabilities)) = (listing.tasks, members.capabilities) {
        let kept = task::without_tasks(capabilities);
        edits.extend(kept.map(|kept| (range_in(whole, capabilities), kept)));
    }
    let Some(tools) = members.tools else {
        return Ok(());
    };
    if let Some(kept) = keep_visible(tools, listing)? {
        edits.push((range_in(whole, tools), kept));
    }
    members.edit_caching(whole, result, listing.modern, edits);
    Ok(())
}

/// The array without hidden tools; `None`: all of them are visible.
fn keep_visible(tools: Raw<'_>, listing: Listing<'_>) -> Result<Option<String>, Ambiguous> {
    if tools.kind() != Kind::Array {
        return Err(Ambiguous);
    }
    let mut kept = String::from("[");
    let mut dropped = false;
    for tool in tools.elements() {
        let visible = tool_name(tool).is_some_and(|name| (listing.sight.visible)(&name));
        if !visible {
            dropped = true;
            continue;
        }
        if kept.len() > 1 {
            kept.push(',');
        }
        kept.push_str(tool.text());
    }
    kept.push(']');
    Ok(dropped.then_some(kept))
}

/// The name of a tool; `None`: it has none, or more than one.
fn tool_name(tool: Raw<'_>) -> Option<std::borrow::Cow<'_, str>> {
    let mut names = tool.members().filter(|(member, _)| member == "name");
    let (_, name) = names.next()?;
    if names.next().is_some() {
        return None;
    }
    name.string()
}

/// Whether a text, or any text inside a value, may name a hidden tool.
fn names_hidden(value: Raw<'_>, sight: Sight<'_>) -> bool {
    let names = |text: &str| (sight.names_hidden)(text);
    value.string().is_some_and(|text| names(&text))
        || value.elements().any(|one| names_hidden(one, sight))
        || value
            .members()
            .any(|(name, one)| names(&name) || names_hidden(one, sight))
}

/// Where `part` stands in the text of `whole`.
pub fn range_in(whole: Raw<'_>, part: Raw<'_>) -> Range<usize> {
    let start = whole.offset_of(part);
    start..start + part.text().len()
}

/// Carries out edits that do not overlap. `None`: there are none.
pub fn apply(text: &str, mut edits: Vec<Edit>) -> Option<String> {
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut edited = String::with_capacity(text.len() + 32);
    let mut at = 0;
    for (range, replacement) in edits {
        edited.push_str(&text[at..range.start]);
        edited.push_str(&replacement);
        at = range.end;
    }
    edited.push_str(&text[at..]);
    Some(edited)
}

// === impl Members ===

impl<'a> Members<'a> {
    fn of(result: Raw<'a>) -> Result<Self, Ambiguous> {
        let mut members = Self::default();
        for (name, value) in result.members() {
            let place = match name.as_ref() {
                "tools" => &mut members.tools,
                "instructions" => &mut members.instructions,
                "capabilities" => &mut members.capabilities,
                "cacheScope" => &mut members.cache_scope,
                "ttlMs" => &mut members.ttl,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Ambiguous);
            }
        }
        Ok(members)
    }

    /// What one grant may see, no other may get from a cache; and a change of policy shows soon.
    fn edit_caching(&self, whole: Raw<'_>, result: Raw<'_>, modern: bool, edits: &mut Vec<Edit>) {
        match self.cache_scope {
            Some(scope) if scope.text() == "\"private\"" => {}
            Some(scope) => edits.push((range_in(whole, scope), "\"private\"".to_owned())),
            None if modern => {
                let inside = whole.offset_of(result) + 1;
                edits.push((inside..inside, "\"cacheScope\":\"private\",".to_owned()));
            }
            None => {}
        }
        if let Some(ttl) = self.ttl {
            let short = ttl.integer().and_then(|ms| u64::try_from(ms).ok());
            if short.is_none_or(|ms| ms > LIST_TTL_MS_MAX) {
                edits.push((range_in(whole, ttl), LIST_TTL_MS_MAX.to_string()));
            }
        }
    }
}

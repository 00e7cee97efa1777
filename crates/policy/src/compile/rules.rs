//! `require` and `deny_if`: groups of conditions.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use super::{Compiler, Owner};
use crate::condition::{ArgumentPath, Condition, Operator, Test};
use crate::json::{Node, Value};
use crate::limits::{
    CONDITIONS_MAX, GROUPS_MAX, PATH_CHARS_MAX, PATTERN_CACHE_BYTES_MAX, PATTERN_CHARS_MAX,
    PATTERN_COMPILED_BYTES_MAX, PATTERN_DEPTH_MAX, PATTERNS_COMPILED_BYTES_MAX, PATTERNS_MAX,
};
use crate::policy::Group;
use crate::text;

// === impl Compiler ===

impl Compiler<'_> {
    /// The groups of `list`, which is `require` or `deny_if`.
    pub(super) fn groups(
        &mut self,
        node: Option<&Node<'_>>,
        owner: &Owner<'_>,
        list: &'static str,
    ) -> Vec<Group> {
        let Some(node) = node else { return Vec::new() };
        let what = format!("`{list}`");
        let items = self
            .checker
            .items(node, &what, GROUPS_MAX)
            .unwrap_or_default();
        items
            .iter()
            .filter_map(|item| self.group(item, owner, list))
            .collect()
    }

    fn group(&mut self, node: &Node<'_>, owner: &Owner<'_>, list: &'static str) -> Option<Group> {
        let names = ["conditions", "on_deny"];
        let [conditions, on_deny] = self.checker.members(node, "a group of conditions", names)?;
        let on_deny = on_deny.and_then(|on_deny| self.message(on_deny, "`on_deny`"));
        let conditions = self.checker.required(node, "conditions", conditions)?;
        let items = self
            .checker
            .items(conditions, "`conditions`", CONDITIONS_MAX)?;
        let conditions: Vec<_> = items
            .iter()
            .filter_map(|item| self.condition(item))
            .collect();

        let mut rule = owner.pointer.clone();
        rule.push(list);
        match conditions.first() {
            Some(first) => rule.push(&format!("{}-{}", first.path, first.operator.name())),
            None => rule.push("always"),
        }
        let message = on_deny.unwrap_or_else(|| match list {
            "require" => text::required(&conditions),
            _ => text::denied(&conditions),
        });
        Some(Group {
            rule: rule.into(),
            conditions,
            message,
        })
    }

    fn condition(&mut self, node: &Node<'_>) -> Option<Condition> {
        let names = ["path", "op", "value"];
        let [path, op, value] = self.checker.members(node, "a condition", names)?;
        let path = self
            .checker
            .required(node, "path", path)
            .and_then(|path| self.path(path));
        let operator = self
            .checker
            .required(node, "op", op)
            .and_then(|op| self.checker.choice(op, "`op`", Operator::NAMED));
        let value = self.checker.required(node, "value", value);
        let (operator, value) = (operator?, value?);
        let test = self.test(operator, value);
        let value_text = compact(&self.text[value.span.start..value.span.end]);
        Some(Condition {
            path: path?,
            operator,
            test: test?,
            value_text,
        })
    }

    /// A path into the arguments of a call.
    pub(super) fn path(&mut self, node: &Node<'_>) -> Option<ArgumentPath> {
        let text = self.checker.text(node, "a path", PATH_CHARS_MAX)?;
        let path = ArgumentPath::parse(text);
        if path.is_none() {
            let message = "a path is `args.` and member names with single dots between them";
            self.checker.fault(node.span.start, message);
        }
        path
    }

    fn test(&mut self, operator: Operator, value: &Node<'_>) -> Option<Test> {
        let test = match (operator, &value.value) {
            (Operator::Regex, Value::String(pattern)) => self.regex(pattern).map(Test::Matches),
            (operator, value) => operator_test(operator, value),
        };
        test.map_err(|message| self.checker.fault(value.span.start, message))
            .ok()
    }

    /// Compiles a regular expression within the document's bounds.
    fn regex(&mut self, pattern: &str) -> Result<Regex, String> {
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return Err(format!(
                "a policy has at most {PATTERNS_MAX} regular expressions"
            ));
        }
        let (regex, bytes) = compiled(pattern)?;
        self.patterns_bytes += bytes;
        if self.patterns_bytes > PATTERNS_COMPILED_BYTES_MAX {
            return Err(format!(
                "the regular expressions of this policy are too large together: at most \
                 {PATTERNS_COMPILED_BYTES_MAX} bytes when compiled"
            ));
        }
        Ok(regex)
    }
}

/// JSON text without the space between its tokens, so that it fits into one line.
fn compact(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let is_part = |character: &char| {
        let part = in_string || !character.is_ascii_whitespace();
        if !escaped && *character == '"' {
            in_string = !in_string;
        }
        escaped = in_string && !escaped && *character == '\\';
        part
    };
    text.chars().filter(is_part).collect()
}

/// The test of an operator with a value, or why it takes no such value.
pub(crate) fn operator_test(operator: Operator, value: &Value<'_>) -> Result<Test, String> {
    let wrong = |wanted: &str| {
        let (name, kind) = (operator.name(), value.kind());
        format!("`{name}` takes {wanted}, not {kind}")
    };
    let order = |holds: fn(Ordering) -> bool| match value {
        Value::Number(number) => Ok(Test::Order(holds, number.clone().into_owned())),
        _ => Err(wrong("a number")),
    };
    let list = || match value {
        Value::Array(items) => Ok(items.iter().map(|item| item.clone().into_owned()).collect()),
        _ => Err(wrong("an array")),
    };
    match operator {
        Operator::Eq => Ok(Test::Equals(value.clone().into_owned())),
        Operator::Neq => Ok(Test::Differs(value.clone().into_owned())),
        Operator::Lt => order(Ordering::is_lt),
        Operator::Lte => order(Ordering::is_le),
        Operator::Gt => order(Ordering::is_gt),
        Operator::Gte => order(Ordering::is_ge),
        Operator::In => list().map(Test::OneOf),
        Operator::NotIn => list().map(Test::NoneOf),
        Operator::Exists => match value {
            Value::Bool(wanted) => Ok(Test::Exists(*wanted)),
            _ => Err(wrong("a boolean")),
        },
        Operator::Regex => match value {
            Value::String(pattern) => compiled(pattern).map(|(regex, _)| Test::Matches(regex)),
            _ => Err(wrong("a string")),
        },
        Operator::Contains => Ok(Test::Contains(value.clone().into_owned())),
    }
}

/// A regular expression and a size that it does not exceed. How large one is cannot be asked: it is
/// compiled under small bounds first.
fn compiled(pattern: &str) -> Result<(Regex, usize), String> {
    if pattern.chars().count() > PATTERN_CHARS_MAX {
        return Err(format!(
            "a regular expression has at most {PATTERN_CHARS_MAX} characters"
        ));
    }
    let build = |bytes_max: usize| {
        RegexBuilder::new(pattern)
            .size_limit(bytes_max)
            .dfa_size_limit(PATTERN_CACHE_BYTES_MAX)
            .nest_limit(PATTERN_DEPTH_MAX)
            .build()
    };
    for bytes_max in [64 << 10, 512 << 10, PATTERN_COMPILED_BYTES_MAX] {
        match build(bytes_max) {
            Ok(regex) => return Ok((regex, bytes_max)),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(error) => {
                // The last line says what is wrong; those before it draw the pattern.
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                return Err(format!(
                    "this regular expression does not compile: {reason}"
                ));
            }
        }
    }
    Err(format!(
        "this regular expression is too large, at most {PATTERN_COMPILED_BYTES_MAX} bytes when \
         compiled: use smaller repetitions, or `[0-9A-Za-z_]` in place of `\\w`"
    ))
}

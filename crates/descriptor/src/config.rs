//! The configuration: files of envoyproxy/ratelimit's YAML, as they are.
//!
//! Promises: what that service accepts is accepted, or refused by its place; nothing that is not
//! known is passed over; all that is wrong is told at once.

use std::collections::BTreeMap;

use crate::domain::{Domain, Keyed, Level, Limit, Metadata, Mode, Node, Quantity, Unit};
use crate::limits::{FILE_BYTES_MAX, FILES_MAX};
use crate::pattern::Pattern;
use crate::problem::{ConfigError, Problem, nearest, shown};
use crate::yaml::{self, Place, Value};

mod scalar;
#[cfg(test)]
mod tests;

/// One file: what it is called in problems, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// All domains.
#[derive(Debug, PartialEq)]
pub struct Config {
    domains: BTreeMap<Box<str>, Domain>,
    revision: u64,
}

const ROOT_KEYS: &[&str] = &["domain", "descriptors"];
const DESCRIPTOR_KEYS: &[&str] = &[
    "key",
    "value",
    "rate_limit",
    "descriptors",
    "shadow_mode",
    "quota_mode",
    "detailed_metric",
    "value_to_metric",
    "share_threshold",
    "metadata",
    // Ours.
    "x_takes_rest",
];
const LIMIT_KEYS: &[&str] = &["unit", "requests_per_unit", "unlimited", "name", "replaces"];
const REPLACES_KEYS: &[&str] = &["name"];

/// Reads one file.
struct Reader<'f> {
    file: &'f str,
    problems: Vec<Problem>,
    limits: usize,
}

/// The members of a mapping, by key.
struct Members<'n> {
    place: Place,
    all: Vec<(&'n str, &'n yaml::Node)>,
}

// === impl Config ===

impl Config {
    /// Reads the files. `revision` orders configurations: a counter keeps the newest that it saw,
    /// and decides what comes under older ones by it.
    pub fn parse(files: &[File], revision: u64) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut config = Self {
            domains: BTreeMap::new(),
            revision,
        };
        let mut owners: BTreeMap<Box<str>, &str> = BTreeMap::new();
        if files.len() > FILES_MAX {
            problems.push(Problem {
                file: files[FILES_MAX].name.clone(),
                line: 1,
                column: 1,
                message: format!("more than {FILES_MAX} files"),
            });
        }
        for file in files.iter().take(FILES_MAX) {
            let mut reader = Reader {
                file: &file.name,
                problems: Vec::new(),
                limits: 0,
            };
            if let Some((place, domain)) = reader.read(&file.text) {
                match owners.get(&domain.name) {
                    Some(owner) => {
                        let name = shown(&domain.name);
                        reader.problem(place, format!("the domain `{name}` is in {owner} already"));
                    }
                    None => {
                        owners.insert(domain.name.clone(), &file.name);
                        config.domains.insert(domain.name.clone(), domain);
                    }
                }
            }
            problems.append(&mut reader.problems);
        }
        match ConfigError::of(problems) {
            None => Ok(config),
            Some(error) => Err(error),
        }
    }

    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.get(name)
    }

    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.values()
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many limits are configured, over all domains.
    pub fn limits(&self) -> usize {
        self.domains().map(Domain::limits).sum()
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            message: message.into(),
        });
    }

    fn read(&mut self, text: &str) -> Option<(Place, Domain)> {
        let start = Place { line: 1, column: 1 };
        if text.len() > FILE_BYTES_MAX {
            self.problem(start, format!("more than {FILE_BYTES_MAX} bytes"));
            return None;
        }
        let root = match yaml::read(text) {
            Ok(Some(root)) => root,
            Ok(None) => {
                self.problem(start, "there is nothing in it: name a `domain`");
                return None;
            }
            Err(fault) => {
                self.problem(fault.place, fault.message);
                return None;
            }
        };
        let members = self.members(&root, ROOT_KEYS, "a file")?;
        let named = members.get("domain");
        let place = named.map_or(members.place, |node| node.place);
        let name = self.text(named);
        if name.is_empty() {
            self.problem(place, "`domain` is missing or empty");
        }
        let level = self.level(members.get("descriptors"));
        Some((
            place,
            Domain {
                name: name.into(),
                level,
                limits: self.limits,
            },
        ))
    }

    /// The members of what must be a mapping with none but the keys `known`.
    fn members<'n>(
        &mut self,
        node: &'n yaml::Node,
        known: &[&str],
        what: &str,
    ) -> Option<Members<'n>> {
        let Value::Map(pairs) = &node.value else {
            self.problem(
                node.place,
                format!("{what} is a mapping of {}", list(known)),
            );
            return None;
        };
        let mut all = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            match &name.value {
                Value::Scalar { text, .. } if known.contains(&text.as_str()) => {
                    all.push((text.as_str(), value));
                }
                Value::Scalar { text, .. } => {
                    let key = shown(text);
                    let message = match misplaced(text) {
                        Some(place) => {
                            format!("the key `{key}` does not belong into {what}, but {place}")
                        }
                        None => format!("unknown key `{key}`{}", nearest(text, known)),
                    };
                    self.problem(name.place, message);
                }
                _ => self.problem(name.place, "a key is a text"),
            }
        }
        Some(Members {
            place: node.place,
            all,
        })
    }

    fn level(&mut self, node: Option<&yaml::Node>) -> Level {
        let mut level = Level::default();
        for node in self.list(node, "`descriptors`") {
            self.descriptor(node, &mut level);
        }
        level
    }

    fn descriptor(&mut self, node: &yaml::Node, level: &mut Level) {
        let Some(members) = self.members(node, DESCRIPTOR_KEYS, "a descriptor") else {
            return;
        };
        let key = self.text(members.get("key"));
        let value = self.text(members.get("value"));
        let place = members.get("key").map_or(node.place, |node| node.place);
        if key.is_empty() {
            self.problem(place, "the `key` of a descriptor is missing or empty");
        }
        if key.contains('*') {
            self.problem(place, "a `*` stands for texts in `value`, not in `key`");
        }
        let limit = self.limit(&members);
        let pattern = Pattern::new(&value);
        let shares = self.truth(members.get("share_threshold"));
        if shares && pattern.is_none() {
            let place = members.get("share_threshold").map_or(place, |n| n.place);
            let message = "`share_threshold` needs a `value` with a `*`: only its values can share";
            self.problem(place, message);
        }
        let node = Node {
            limit,
            shares,
            value_to_metric: self.truth(members.get("value_to_metric")),
            level: self.level(members.get("descriptors")),
        };
        let keyed = level.keys.entry(key.as_str().into()).or_default();
        if !keyed.put(&value, pattern, node) {
            let name = match value.as_str() {
                "" => shown(&key),
                value => shown(&format!("{key}: {value}")),
            };
            self.problem(place, format!("the descriptor `{name}` is there already"));
        }
    }

    fn limit(&mut self, descriptor: &Members<'_>) -> Option<Limit> {
        let mode = self.mode(descriptor);
        let detailed_metric = self.truth(descriptor.get("detailed_metric"));
        let takes_rest = self.truth(descriptor.get("x_takes_rest"));
        let metadata = descriptor.get("metadata").and_then(|node| self.map(node));
        let node = descriptor.get("rate_limit").filter(|node| !is_null(node))?;
        let members = self.members(node, LIMIT_KEYS, "`rate_limit`")?;
        let name = self.text(members.get("name"));
        let replaces = self.replaces(members.get("replaces"), &name);
        self.limits += 1;
        Some(Limit {
            quantity: self.quantity(&members),
            mode,
            name: name.into(),
            replaces,
            detailed_metric,
            takes_rest,
            metadata,
        })
    }

    fn mode(&mut self, descriptor: &Members<'_>) -> Mode {
        let shadow = self.truth(descriptor.get("shadow_mode"));
        let quota = self.truth(descriptor.get("quota_mode"));
        match (shadow, quota) {
            // What is only counted can be over for nobody.
            (true, _) => Mode::Shadow,
            (false, true) => Mode::Quota,
            (false, false) => Mode::Enforced,
        }
    }

    fn quantity(&mut self, members: &Members<'_>) -> Quantity {
        let unlimited = self.truth(members.get("unlimited"));
        let requests = members
            .get("requests_per_unit")
            .map_or(0, |node| self.number(node));
        let unit = members.get("unit");
        let name = self.text(unit);
        let known = Unit::ALL
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name));
        let place = unit.map_or(members.place, |node| node.place);
        match (unlimited, known) {
            (true, None) => Quantity::Unlimited,
            (true, Some(_)) => {
                self.problem(
                    place,
                    "`unlimited` has no `unit`: leave one of the two away",
                );
                Quantity::Unlimited
            }
            (false, Some((_, unit))) => Quantity::Per {
                requests,
                unit: *unit,
            },
            (false, None) => {
                let names = Unit::ALL.map(|(name, _)| name);
                let message = match name.as_str() {
                    "" => format!("`unit` is missing: use {}", list(&names)),
                    name => format!("unknown unit `{}`: use {}", shown(name), list(&names)),
                };
                self.problem(place, message);
                Quantity::Unlimited
            }
        }
    }

    fn replaces(&mut self, node: Option<&yaml::Node>, own: &str) -> Box<[Box<str>]> {
        let mut names = Vec::new();
        for node in self.list(node, "`replaces`") {
            let Some(members) = self.members(node, REPLACES_KEYS, "an entry of `replaces`") else {
                continue;
            };
            let name = self.text(members.get("name"));
            match name.as_str() {
                "" => self.problem(node.place, "an entry of `replaces` needs a `name`"),
                name if name == own => {
                    self.problem(node.place, "a limit does not replace itself");
                }
                name => names.push(name.into()),
            }
        }
        names.into()
    }

    fn list<'n>(&mut self, node: Option<&'n yaml::Node>, what: &str) -> &'n [yaml::Node] {
        match node {
            None => &[],
            Some(node) if is_null(node) => &[],
            Some(yaml::Node {
                value: Value::List(nodes),
                ..
            }) => nodes,
            Some(node) => {
                self.problem(node.place, format!("{what} is a list"));
                &[]
            }
        }
    }

    fn map(&mut self, node: &yaml::Node) -> Option<Metadata> {
        if is_null(node) {
            return None;
        }
        match scalar::metadata(node) {
            Ok(map @ Metadata::Map(_)) => Some(map),
            Ok(_) => {
                self.problem(node.place, "`metadata` is a mapping");
                None
            }
            Err(place) => {
                self.problem(place, "a key is a text");
                None
            }
        }
    }
}

/// Where a key belongs that is known, but not here.
fn misplaced(key: &str) -> Option<&'static str> {
    [
        (LIMIT_KEYS, "into `rate_limit`"),
        (DESCRIPTOR_KEYS, "into a descriptor"),
        (ROOT_KEYS, "to the top of a file"),
    ]
    .iter()
    .find(|(keys, _)| keys.contains(&key))
    .map(|(_, place)| *place)
}

fn list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn is_null(node: &yaml::Node) -> bool {
    matches!(
        &node.value,
        Value::Scalar { text, is_plain: true } if scalar::is_null(text)
    )
}

// === impl Members ===

impl<'n> Members<'n> {
    fn get(&self, key: &str) -> Option<&'n yaml::Node> {
        let mut all = self.all.iter();
        all.find(|(name, _)| *name == key).map(|(_, node)| *node)
    }
}

// === impl Keyed ===

impl Keyed {
    /// `false`: there is one already.
    fn put(&mut self, value: &str, pattern: Option<Pattern>, node: Node) -> bool {
        match pattern {
            Some(pattern) => {
                let is_new = self.patterns.iter().all(|(known, _)| *known != pattern);
                if is_new {
                    self.patterns.push((pattern, node));
                }
                is_new
            }
            None if value.is_empty() => {
                let is_new = self.any.is_none();
                self.any.get_or_insert(node);
                is_new
            }
            None => {
                let is_new = !self.exact.contains_key(value);
                self.exact.entry(value.into()).or_insert(node);
                is_new
            }
        }
    }
}

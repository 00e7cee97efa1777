//! YAML as a tree whose every value knows its place.
//!
//! Promises: anchors, aliases and merge keys are resolved as Go's parser does; depth and the number
//! of values are bounded, what aliases repeat included. A key that stands twice is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::limits::{DEPTH_MAX, VALUES_MAX};
use crate::problem::shown;

#[cfg(test)]
mod tests;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar {
        text: String,
        /// Not quoted: it may be a number, a truth or nothing at all.
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// Why a text is no such tree, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) message: String,
}

/// A list or a mapping that is not closed yet.
struct Open {
    anchor: usize,
    place: Place,
    kind: Kind,
    /// The values in it so far.
    values: usize,
}

enum Kind {
    List(Vec<Node>),
    Map {
        members: Vec<(Node, Node)>,
        key: Option<Node>,
    },
}

struct Reader {
    open: Vec<Open>,
    /// With the number of values in each.
    anchors: BTreeMap<usize, (Node, usize)>,
    root: Option<Node>,
    values: usize,
    documents: usize,
}

/// Reads the one document of `text`; `None`: it has none.
pub(crate) fn read(text: &str) -> Result<Option<Node>, Fault> {
    let mut reader = Reader {
        open: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
        values: 0,
        documents: 0,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let mark = *error.marker();
            let place = Place {
                line: mark.line().max(1),
                column: mark.col() + 1,
            };
            fault(place, format!("this is no YAML: {}", error.info()))
        })?;
        reader.take(event, span)?;
    }
    Ok(reader.root)
}

fn fault(place: Place, message: impl Into<String>) -> Fault {
    Fault {
        place,
        message: message.into(),
    }
}

// === impl Reader ===

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let place = Place {
            line: span.start.line().max(1),
            column: span.start.col() + 1,
        };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err(fault(
                        place,
                        "a second document: use one document in each file",
                    )),
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                self.count(place, 1)?;
                let value = Value::Scalar {
                    text: Cow::into_owned(text),
                    is_plain: style == ScalarStyle::Plain,
                };
                self.put(Node { place, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.enter(place, anchor, Kind::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                let kind = Kind::Map {
                    members: Vec::new(),
                    key: None,
                };
                self.enter(place, anchor, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => {
                let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
                    return Err(fault(place, "an alias of what it stands in itself"));
                };
                self.count(place, values)?;
                if self.open.len() + depth(&node) > DEPTH_MAX {
                    return Err(too_deep(place));
                }
                self.put(Node { place, ..node }, 0, values)
            }
        }
    }

    fn count(&mut self, place: Place, values: usize) -> Result<(), Fault> {
        self.values = self.values.saturating_add(values);
        match self.values <= VALUES_MAX {
            true => Ok(()),
            false => Err(fault(place, format!("more than {VALUES_MAX} values"))),
        }
    }

    fn enter(&mut self, place: Place, anchor: usize, kind: Kind) -> Result<(), Fault> {
        self.count(place, 1)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(place));
        }
        self.open.push(Open {
            anchor,
            place,
            kind,
            values: 1,
        });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Fault> {
        let open = self.open.pop().expect("what ends was begun");
        let Open {
            anchor,
            place,
            kind,
            values,
        } = open;
        let value = match kind {
            Kind::List(nodes) => Value::List(nodes),
            Kind::Map { members, .. } => Value::Map(merged(members)?),
        };
        self.put(Node { place, value }, anchor, values)
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node, anchor: usize, values: usize) -> Result<(), Fault> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), values));
            // The copy that is kept takes memory, too.
            self.count(node.place, values)?;
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.values += values;
        match &mut open.kind {
            Kind::List(nodes) => nodes.push(node),
            Kind::Map { members, key } => match key.take() {
                None => *key = Some(node),
                Some(name) => members.push((name, node)),
            },
        }
        Ok(())
    }
}

fn too_deep(place: Place) -> Fault {
    fault(place, format!("nested deeper than {DEPTH_MAX} levels"))
}

fn depth(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(nodes) => nodes.iter().map(depth).max().unwrap_or(0),
        Value::Map(members) => members
            .iter()
            .map(|(name, value)| depth(name).max(depth(value)))
            .max()
            .unwrap_or(0),
    }
}

/// The members of a mapping, with what `<<` names added where it is not said here.
fn merged(members: Vec<(Node, Node)>) -> Result<Vec<(Node, Node)>, Fault> {
    let mut own: Vec<(Node, Node)> = Vec::with_capacity(members.len());
    let mut bases = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, value) in members {
        if matches!(&name.value, Value::Scalar { text, is_plain: true } if text == "<<") {
            bases.push(value);
            continue;
        }
        if let Value::Scalar { text, .. } = &name.value
            && let Some(line) = seen.insert(text.clone(), name.place.line)
        {
            let message = format!("`{}` stands twice: first on line {line}", shown(text));
            return Err(fault(name.place, message));
        }
        own.push((name, value));
    }
    for base in bases {
        let bases = match base.value {
            Value::List(nodes) => nodes,
            _ => vec![base],
        };
        for base in bases {
            let Value::Map(members) = base.value else {
                return Err(fault(base.place, "`<<` takes a mapping"));
            };
            for (name, value) in members {
                let is_new = match &name.value {
                    Value::Scalar { text, .. } => {
                        !seen.contains_key(text) && seen.insert(text.clone(), 0).is_none()
                    }
                    _ => true,
                };
                if is_new {
                    own.push((name, value));
                }
            }
        }
    }
    Ok(own)
}

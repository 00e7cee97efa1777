//! A request to the items of one decision.
//!
//! Promises: every descriptor has a part, in order; all items that can deny are taken or none is.

use quotum_limit::limits::UNITS_MAX;
use quotum_limit::{Algorithm, Item, Items};

use crate::config::Config;
use crate::domain::{Domain, Found, Limit, Mode, Quantity, Unit};
use crate::key::counter_key;
use crate::limits::{DESCRIPTORS_MAX, ENTRIES_MAX, LIMITED_MAX, TEXT_BYTES_MAX};

#[cfg(test)]
mod tests;

/// One entry of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'r> {
    pub key: &'r str,
    pub value: &'r str,
}

/// A limit that stands in the request and takes the place of the configured one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    pub requests: u32,
    pub unit: Unit,
}

/// One descriptor of a request.
#[derive(Debug, Clone)]
pub struct Asked<'r> {
    pub entries: Vec<Entry<'r>>,
    pub limit: Option<Override>,
    /// 0: only looks.
    pub hits: u64,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'r> {
    pub domain: &'r str,
    pub descriptors: Vec<Asked<'r>>,
}

/// What a request asks of the counters, and what its descriptors have to do with it.
#[derive(Debug)]
pub struct Plan<'c> {
    /// Empty: there is nothing to decide.
    pub items: Items,
    pub(crate) parts: Vec<Part<'c>>,
}

/// What a descriptor has to do with the decision.
#[derive(Debug)]
pub(crate) enum Part<'c> {
    /// No limit applies, or it is replaced.
    Free,
    Unlimited(&'c Limit),
    Limited(Limited<'c>),
}

#[derive(Debug)]
pub(crate) struct Limited<'c> {
    pub(crate) item: usize,
    pub(crate) requests: u32,
    pub(crate) unit: Unit,
    pub(crate) mode: Mode,
    /// No descriptor of the request takes a unit of this counter.
    pub(crate) only_looks: bool,
    pub(crate) hits: u64,
    /// `None`: the limit stands in the request.
    pub(crate) limit: Option<&'c Limit>,
    /// The names of the first two depths in metrics.
    pub(crate) metric_names: [Box<str>; 2],
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError(String);

// === impl RequestError ===

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestError {}

fn error(text: impl Into<String>) -> RequestError {
    RequestError(text.into())
}

// === impl Request ===

impl Request<'_> {
    fn check(&self) -> Result<(), RequestError> {
        if self.domain.is_empty() {
            return Err(error("domain: it is empty"));
        }
        if self.descriptors.is_empty() || self.descriptors.len() > DESCRIPTORS_MAX {
            return Err(error(format!("descriptors: use 1 to {DESCRIPTORS_MAX}")));
        }
        let is_long = |text: &str| text.len() > TEXT_BYTES_MAX;
        if is_long(self.domain) {
            return Err(error(format!("domain: more than {TEXT_BYTES_MAX} bytes")));
        }
        for (at, asked) in self.descriptors.iter().enumerate() {
            let entries = &asked.entries;
            if entries.is_empty() || entries.len() > ENTRIES_MAX {
                return Err(error(format!(
                    "descriptors[{at}].entries: use 1 to {ENTRIES_MAX}"
                )));
            }
            for (entry_at, entry) in entries.iter().enumerate() {
                let place = format_args!("descriptors[{at}].entries[{entry_at}]");
                if entry.key.is_empty() {
                    return Err(error(format!("{place}.key: it is empty")));
                }
                if is_long(entry.key) || is_long(entry.value) {
                    return Err(error(format!("{place}: more than {TEXT_BYTES_MAX} bytes")));
                }
            }
            if asked.hits > UNITS_MAX {
                return Err(error(format!("descriptors[{at}].hits_addend: too many")));
            }
        }
        Ok(())
    }
}

// === impl Plan ===

impl<'c> Plan<'c> {
    /// What `request` asks under `config`.
    pub fn new(config: &'c Config, request: &Request<'_>) -> Result<Self, RequestError> {
        request.check()?;
        let mut plan = Self {
            items: Items::new(),
            parts: Vec::with_capacity(request.descriptors.len()),
        };
        let Some(domain) = config.domain(request.domain) else {
            plan.parts
                .extend(request.descriptors.iter().map(|_| Part::Free));
            return Ok(plan);
        };
        let found: Vec<_> = request
            .descriptors
            .iter()
            .map(|asked| match asked.limit {
                Some(_) => None,
                None => domain.find(&asked.entries),
            })
            .collect();
        let is_replaced = |limit: &Limit| {
            let replaces = found.iter().flatten().flat_map(|one| &one.limit.replaces);
            !limit.name.is_empty() && replaces.into_iter().any(|name| *name == limit.name)
        };
        for (asked, found) in request.descriptors.iter().zip(&found) {
            let part = match (asked.limit, found) {
                (Some(limit), _) => {
                    plan.limited(domain, 0, asked, None, (limit.requests, limit.unit))
                }
                (None, None) => Part::Free,
                (None, Some(found)) => match found.limit.quantity {
                    Quantity::Unlimited => Part::Unlimited(found.limit),
                    Quantity::Per { .. } if is_replaced(found.limit) => Part::Free,
                    Quantity::Per { requests, unit } => {
                        let revision = config.revision();
                        plan.limited(domain, revision, asked, Some(found), (requests, unit))
                    }
                },
            };
            plan.parts.push(part);
        }
        plan.finish()?;
        Ok(plan)
    }

    /// An override has no revision: of several maxima the smallest counts.
    fn limited(
        &mut self,
        domain: &Domain,
        revision: u64,
        asked: &Asked<'_>,
        found: Option<&Found<'c>>,
        (requests, unit): (u32, Unit),
    ) -> Part<'c> {
        let mode = found.map_or(Mode::Enforced, |found| found.limit.mode);
        let name = |depth: usize| match (found, asked.entries.get(depth)) {
            (Some(found), _) => found.metric_name(&asked.entries, depth).into(),
            (None, Some(entry)) => entry.key.into(),
            (None, None) => "".into(),
        };
        let part = Limited {
            item: self.items.len(),
            requests,
            unit,
            mode,
            only_looks: false,
            hits: asked.hits,
            limit: found.map(|found| found.limit),
            metric_names: [name(0), name(1)],
        };
        self.items.push(Item {
            key: counter_key(domain.name(), &asked.entries, found),
            max: u64::from(requests),
            revision,
            window: unit.window(),
            algorithm: Algorithm::Fixed,
            units: asked.hits,
            shadow: mode != Mode::Enforced,
        });
        Part::Limited(part)
    }

    /// What depends on all the items together.
    fn finish(&mut self) -> Result<(), RequestError> {
        if self.items.len() > LIMITED_MAX {
            return Err(error(format!(
                "descriptors: limits apply to {}, and one decision takes {LIMITED_MAX}",
                self.items.len()
            )));
        }
        let items = &self.items;
        let same = |one: &Item, other: &Item| one.key == other.key && one.window == other.window;
        for (at, item) in items.iter().enumerate() {
            if items
                .iter()
                .any(|other| same(item, other) && other.max != item.max)
            {
                return Err(error(format!(
                    "descriptors: the counter of limited descriptor {at} stands here with two limits"
                )));
            }
        }
        let mut quotas = 0;
        for part in &mut self.parts {
            if let Part::Limited(limited) = part {
                let item = &items[limited.item];
                let mut others = items.iter().filter(|other| same(item, other));
                limited.only_looks = others.all(|other| other.units == 0);
                quotas += usize::from(limited.mode == Mode::Quota);
            }
        }
        if quotas == 1 {
            // All of one is that one: it can deny by itself.
            for part in &mut self.parts {
                if let Part::Limited(limited) = part
                    && limited.mode == Mode::Quota
                {
                    limited.mode = Mode::Enforced;
                    self.items[limited.item].shadow = false;
                }
            }
        }
        Ok(())
    }

    /// Whether nothing is taken: the counters can be read instead.
    pub fn only_looks(&self) -> bool {
        self.items.iter().all(|item| item.units == 0)
    }
}

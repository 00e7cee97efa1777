//! The census: how many counters live, in all and of each tenant.
//!
//! Promises: exact at every log time, by the ends of the counters alone; so it shows neither what
//! was swept nor which replica counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::LogTime;
use crate::key::Tenant;

#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    live: usize,
    /// Tenants with live counters.
    tenants: Arc<Counts>,
    /// The counters by when they end.
    ends: BTreeMap<LogTime, Arc<Ends>>,
}

/// How many counters which tenant has; those that have none are not in it.
#[derive(Debug, Clone, Default)]
struct Counts(HashTable<(Tenant, u32)>);

#[derive(Debug, Clone, Default)]
struct Ends {
    counters: usize,
    tenants: Counts,
}

// === impl Census ===

impl Census {
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn live_of(&self, tenant: Tenant) -> usize {
        self.tenants.get(tenant)
    }

    /// A counter lives from now to `end`.
    pub(crate) fn enter(&mut self, tenant: Tenant, end: LogTime) {
        self.live += 1;
        let ends = Arc::make_mut(self.ends.entry(end).or_default());
        ends.counters += 1;
        if tenant != Tenant::default() {
            ends.tenants.add(tenant);
            Arc::make_mut(&mut self.tenants).add(tenant);
        }
    }

    /// A living counter's end moves.
    pub(crate) fn extend(&mut self, tenant: Tenant, old: LogTime, new: LogTime) {
        if old == new {
            return;
        }
        let ends = self.ends.get_mut(&old).expect("it was entered");
        let ends = Arc::make_mut(ends);
        ends.counters -= 1;
        ends.tenants.take(tenant, 1);
        if ends.counters == 0 {
            self.ends.remove(&old);
        }
        self.live -= 1;
        Arc::make_mut(&mut self.tenants).take(tenant, 1);
        self.enter(tenant, new);
    }

    /// Counts out everything that is over at `now`.
    pub(crate) fn pass(&mut self, now: LogTime) {
        while let Some(first) = self.ends.first_entry()
            && *first.key() <= now
        {
            let ends = first.remove();
            self.live -= ends.counters;
            let tenants = Arc::make_mut(&mut self.tenants);
            for (tenant, count) in ends.tenants.0.iter() {
                tenants.take(*tenant, *count);
            }
        }
    }

    /// The memory that it uses, about.
    pub(crate) fn bytes(&self) -> usize {
        let ends = self.ends.values();
        let ends = ends.map(|ends| size_of::<Ends>() + 64 + ends.tenants.0.allocation_size());
        self.tenants.0.allocation_size() + ends.sum::<usize>()
    }
}

// === impl Counts ===

impl Counts {
    fn get(&self, tenant: Tenant) -> usize {
        let found = self.0.find(hash(tenant), |counted| counted.0 == tenant);
        found.map_or(0, |counted| counted.1 as usize)
    }

    fn add(&mut self, tenant: Tenant) {
        let is = |counted: &(Tenant, u32)| counted.0 == tenant;
        match self.0.entry(hash(tenant), is, |counted| hash(counted.0)) {
            Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
            Entry::Vacant(entry) => {
                entry.insert((tenant, 1));
            }
        }
    }

    fn take(&mut self, tenant: Tenant, count: u32) {
        let is = |counted: &(Tenant, u32)| counted.0 == tenant;
        if let Ok(mut entry) = self.0.find_entry(hash(tenant), is) {
            entry.get_mut().1 -= count;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
    }
}

/// A slot is a digest already: its bits need spreading only.
fn hash(tenant: Tenant) -> u64 {
    u64::from(tenant.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

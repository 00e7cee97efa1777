//! What the bugs of [`crate::bugs`] do to a state.

use super::{Plans, State};
use crate::Stamp;
use crate::bugs::{self, Bug};
use crate::command::Items;

// === impl State ===

impl State {
    /// Takes log time from the stamp as it is.
    pub(super) fn obey(&mut self, stamp: Stamp) {
        if bugs::is(Bug::ProposersClock) {
            self.last = stamp;
        }
    }

    /// Gives back what is negative, and returns the items as they are charged.
    pub(super) fn less_than_nothing(&mut self, items: &Items) -> Items {
        let now = self.last.log;
        let (charged, given) = bugs::less_than_nothing(items);
        for (item, units) in given {
            let end = item.window.interval(now).end;
            self.counters.refund(&item, end, units);
        }
        charged
    }

    /// Charges the items of a denied command that fit.
    pub(super) fn charge_what_fits(&mut self, items: &Items, plans: &Plans) {
        let now = self.last.log;
        if !bugs::is(Bug::PartialCharge) {
            return;
        }
        for (plan, item) in plans.iter().zip(items).filter(|(plan, _)| plan.charges()) {
            let units = (plan.max, plan.units);
            self.counters
                .charge(&plan.place, item, units, (now, plan.times.end));
        }
    }
}

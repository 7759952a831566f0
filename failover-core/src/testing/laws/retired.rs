//! Which endpoints are retired, recounted from their failed turns.

use std::collections::BTreeMap;

use crate::endpoint::EndpointId;
use crate::testing::laws::ledger::{Fact, Ledger};

/// Failed turns in a row of each endpoint, and the outage in which it was retired.
#[derive(Default)]
pub(super) struct Retired {
    series: BTreeMap<EndpointId, (u32, u32)>,
}

impl Retired {
    pub(super) fn book(&mut self, fact: &Fact, ledger: &Ledger<'_>) {
        match *fact {
            Fact::TurnFailed(endpoint) => self.failed(endpoint, ledger),
            Fact::Stable(endpoint) => self.forget(endpoint),
            Fact::RouteFailed(_) | Fact::SideFailed | Fact::Cancelled | Fact::Other => {}
        }
    }

    fn failed(&mut self, endpoint: EndpointId, ledger: &Ledger<'_>) {
        let traits = ledger.traits.get(&endpoint);
        let class = traits.map_or(0, |traits| traits.in_class());
        let limit = ledger.policy.per_endpoint_in(class, ledger.limits());
        let (failures, retired) = self.series.entry(endpoint).or_default();
        if *retired != 0 && *retired != ledger.outage {
            (*failures, *retired) = (0, 0);
        }
        *failures += 1;
        if limit.is_reached(*failures) {
            *retired = ledger.outage;
        }
    }

    /// It begins anew.
    pub(super) fn forget(&mut self, endpoint: EndpointId) {
        self.series.remove(&endpoint);
    }

    pub(super) fn is(&self, endpoint: EndpointId, ledger: &Ledger<'_>) -> bool {
        let retired = self.series.get(&endpoint).map(|(_, retired)| *retired);
        retired == Some(ledger.outage)
    }
}

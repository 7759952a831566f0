//! How things stand: for the status, for events, for whoever is told that it gave up.

use std::sync::Arc;

use crate::dial::Dial;
use crate::directory::{Endpoint, Target};
use crate::drive::clock::Clock;
use crate::drive::connector::Connector;
use crate::drive::error::GiveUp;
use crate::drive::handle::Status;
use crate::endpoint::EndpointId;
use crate::machine::{self, CloseReason};

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.machine.status(), machine::Status::Closed(_))
    }

    pub(super) fn give_up(&self, reason: CloseReason) -> GiveUp {
        GiveUp {
            reason,
            endpoints: self
                .shared
                .with(|inside| inside.reports.values().cloned().collect()),
            recorded: self.shared.recorded(),
        }
    }

    pub(super) fn status(&self) -> Status {
        let status = match self.machine.status() {
            machine::Status::Idle => Some(Status::Idle),
            machine::Status::Waiting { endpoint, until } => self
                .target(endpoint, 0)
                .map(|target| Status::Waiting { target, until }),
            machine::Status::Dialing { endpoint } => {
                self.target(endpoint, 0).map(|target| match self.held() {
                    Some(by) => Status::Held { target, by },
                    None => Status::Dialing { target },
                })
            }
            machine::Status::Connected { link, since } => self
                .target(link.endpoint, link.route)
                .map(|target| Status::Connected { target, since }),
            machine::Status::Paused => Some(Status::Paused),
            machine::Status::Starved => Some(Status::Starved),
            machine::Status::Closed(reason) => Some(Status::Closed(reason)),
        };
        status.unwrap_or_default()
    }

    pub(super) fn target(&self, endpoint: EndpointId, route: u8) -> Option<Target> {
        Some(Target::new(self.endpoint(endpoint)?, route))
    }

    pub(super) fn endpoint(&self, id: EndpointId) -> Option<Arc<Endpoint>> {
        let departed = || {
            let mut departed = self.departed.iter();
            departed.find(|(departed, _)| *departed == id)
        };
        let present = self.directory.get(id);
        present
            .or_else(|| departed().map(|(_, endpoint)| endpoint))
            .map(Arc::clone)
    }
}

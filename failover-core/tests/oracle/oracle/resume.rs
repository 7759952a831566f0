//! The window in which only the lost server is dialled, because the session may be resumed there.

use std::time::Duration;

use failover_core::endpoint::EndpointId;
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{MIN_REDIAL, Reaction};
use failover_core::time::Time;

use super::{Oracle, Seen, nanos};

impl Oracle {
    /// After a loss that the session may have survived: first the same server.
    pub(super) fn begin_window(
        &mut self,
        server: EndpointId,
        failure: &Failure,
        reaction: Reaction,
        seen: Seen,
        now: Time,
    ) -> Option<Result<(), String>> {
        let resume = self.policy.resume()?;
        // Neither a close by either side nor a refusal.
        let survived = !matches!(
            failure.kind,
            Kind::Closed | Kind::Tls | Kind::Protocol | Kind::Auth
        );
        let may = matches!(reaction, Reaction::Next | Reaction::Mark);
        if !survived || !may || !self.is_there(server) {
            return None;
        }
        let reasons = self.reached(now);
        if !reasons.is_empty() {
            return Some(self.expect_close(&reasons, seen));
        }
        self.resume_until = Some(now + resume.window);
        let first = match resume.first {
            Duration::ZERO => Duration::ZERO,
            first => self.bounded(nanos(first)),
        };
        Some(self.dial_in_the_window(server, now + first, seen, now))
    }

    /// A failure only leads to the next dial, as long as there is time and the server may still know
    /// the session.
    pub(super) fn failed_in_the_window(
        &mut self,
        server: EndpointId,
        reaction: Reaction,
        seen: Seen,
        now: Time,
    ) -> Option<Result<(), String>> {
        let until = self.resume_until?;
        let elapsed = self.out_of_patience(now);
        if !elapsed.is_empty() {
            return Some(self.expect_close(&elapsed, seen));
        }
        let every = self.bounded(nanos(self.policy.resume()?.every));
        let at = (now + every).max(now + MIN_REDIAL);
        let may = matches!(reaction, Reaction::Next | Reaction::Mark);
        if !may || self.ready_at(server, at) >= until {
            self.resume_until = None;
            return None;
        }
        Some(self.dial_in_the_window(server, at, seen, now))
    }

    fn dial_in_the_window(
        &mut self,
        server: EndpointId,
        at: Time,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let at = self.ready_at(server, at);
        let route = self.server(server).route;
        self.take_up(server, route, Vec::new(), (at, at), seen, now)
    }

    fn ready_at(&mut self, server: EndpointId, at: Time) -> Time {
        let it = self.server(server);
        at.max(it.floor()).max(it.paced_until).max(it.rests_until)
    }
}

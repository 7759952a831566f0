//! What others have to say: who lends permits, and clients that know something of the servers.

use failover_core::endpoint::EndpointId;
use failover_core::time::Time;

use super::{Doing, Oracle, Seen};

impl Oracle {
    /// The dial waits for a permit: its time does not run.
    pub(crate) fn held(&mut self, now: Time) {
        if let Doing::Dialing { held, .. } = &mut self.doing {
            *held = Some(now);
        }
    }

    /// It begins, with the time that it had when it was held.
    pub(crate) fn begun(&mut self, now: Time) {
        let Doing::Dialing {
            server,
            deadline,
            held,
            ..
        } = &mut self.doing
        else {
            panic!("no dial")
        };
        let waited = now.since(held.take().expect("it was held"));
        *deadline = *deadline + waited;
        if let Some(until) = self.resume_until {
            *deadline = until.min(*deadline);
        }
        let server = *server;
        self.turn_until = self.turn_until.map(|until| until + waited);
        self.server(server).dialled = Some(now);
        self.newest = Some(now);
    }

    pub(crate) fn is_held(&self) -> bool {
        matches!(self.doing, Doing::Dialing { held: Some(_), .. })
    }

    /// Others found it to be bad. In a resume window there is nowhere else to go.
    pub(crate) fn rests(
        &mut self,
        endpoint: EndpointId,
        until: Time,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        if !self.is_there(endpoint) || until <= now {
            return Ok(());
        }
        let it = self.server(endpoint);
        it.rests_until = it.rests_until.max(until);
        it.is_marked |= !it.is_suspended;
        if self.resume_until.is_some() {
            return Ok(());
        }
        match self.doing.clone() {
            Doing::Waiting { server, at, .. } if server == endpoint => {
                let next = self.decide(now, Some(at));
                self.enter(next, seen, now)
            }
            // It is given up, and is no failure.
            Doing::Dialing {
                server,
                held: Some(_),
                ..
            } if server == endpoint => self.advance(seen, now),
            _ => Ok(()),
        }
    }

    /// Others connected to it: it is dialled at once, before whom is waited for.
    pub(crate) fn recovered(
        &mut self,
        endpoint: EndpointId,
        seen: Seen,
        now: Time,
    ) -> Result<(), String> {
        let is_there = self.is_there(endpoint);
        let it = self.server(endpoint);
        if !is_there || !(it.is_marked || it.is_suspended) {
            return Ok(());
        }
        (it.is_marked, it.is_suspended) = (false, false);
        (it.rests_until, it.paced_until) = (Time::ZERO, Time::ZERO);
        let soon = it.floor().max(now);
        if let Doing::Waiting { .. } | Doing::Dialing { .. } | Doing::Starved = self.doing {
            let elapsed = self.out_of_patience(now);
            if !elapsed.is_empty() {
                return self.expect_close(&elapsed, seen);
            }
        }
        match self.doing {
            Doing::Waiting { at, .. }
                if soon < at
                    && self.resume_until.is_none()
                    && self.pinned.is_none_or(|pinned| pinned == endpoint) =>
            {
                self.dial_alone(endpoint, soon, seen, now)
            }
            _ => Ok(()),
        }
    }
}

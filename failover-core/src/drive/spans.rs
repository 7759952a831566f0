//! `tracing`: a span per outage, a span per dial, an event for what happened. Without the feature all
//! of it is nothing.

#[cfg(feature = "tracing")]
pub(crate) use self::told::{DialSpan, Spans};
#[cfg(not(feature = "tracing"))]
pub(crate) use self::untold::{DialSpan, Spans};

#[cfg(feature = "tracing")]
mod told {
    use std::collections::BTreeMap;
    use std::string::{String, ToString};

    use tracing::{Span, debug, debug_span, error, field, info, info_span, warn};

    use crate::directory::Target;
    use crate::drive::event::{Attempt, What};
    use crate::failure::Kind;
    use crate::machine::DialOrder;
    use crate::time::Time;

    /// The span of the outage, if there is one.
    #[derive(Debug)]
    pub(crate) struct Spans {
        outage: Span,
        /// The last failure of each endpoint in this outage, and how often it came: the same again
        /// is told at a lower level, and summed up at every doubling and when it ends.
        said: BTreeMap<String, Said>,
    }

    impl Default for Spans {
        fn default() -> Self {
            Self {
                outage: Span::none(),
                said: BTreeMap::new(),
            }
        }
    }

    /// A failure that was told, and is not told again each time.
    #[derive(Debug)]
    struct Said {
        kind: Kind,
        times: u64,
        since: Time,
    }

    /// The names that are remembered in an outage; the failures of others are told each time.
    const REMEMBERED: usize = 256;

    /// The span of one dial.
    #[derive(Debug)]
    pub(crate) struct DialSpan(Span);

    impl DialSpan {
        pub(crate) fn in_scope<T>(&self, then: impl FnOnce() -> T) -> T {
            self.0.in_scope(then)
        }
    }

    impl Spans {
        /// Whether anybody may listen: a subscriber, or a logger by `tracing`'s own feature `log`, which no
        /// level tells of.
        #[expect(clippy::unused_self, reason = "the same call without the feature")]
        pub(crate) fn are_heard(&self) -> bool {
            true
        }

        pub(crate) fn dial(&self, order: &DialOrder, target: &Target) -> DialSpan {
            DialSpan(debug_span!(
                parent: &self.outage,
                "dial",
                endpoint = target.endpoint().name(),
                url = %target.url(),
                attempt = order.attempt.number(),
                purpose = order.purpose.as_str(),
            ))
        }

        pub(crate) fn tell(&mut self, what: &What, at: Time) {
            let outage = self.outage.clone();
            outage.in_scope(|| self.tell_here(what, at));
            if let What::Disconnected { link, .. } = what {
                let lost = link.target.endpoint().name();
                self.outage = info_span!("outage", lost);
            }
            if let What::Connected(_)
            | What::Reconnected(_)
            | What::FailedOver { .. }
            | What::Closed(_) = what
            {
                self.outage = Span::none();
                outage.in_scope(|| self.sum_up_all(at));
            }
        }

        fn tell_here(&mut self, what: &What, at: Time) {
            match what {
                What::Attempt(attempt) => self.tell_attempt(attempt, at),
                What::Connected(link) => info!(endpoint = %link.target, "connected"),
                What::Reconnected(link) => info!(endpoint = %link.target, "reconnected"),
                What::FailedOver { to, from } => {
                    info!(endpoint = %to.target, from = from.name(), "failed over");
                }
                What::Moved { to, from, why } => {
                    let why = why.as_str();
                    info!(endpoint = %to.target, from = from.name(), why, "moved");
                }
                What::Disconnected { link, error, .. } => {
                    let error = error.as_ref().map(field::display);
                    warn!(endpoint = %link.target, error, "disconnected");
                }
                What::HookPanicked { message } => error!(message, "a hook panicked"),
                What::ListRefused { error } => warn!(%error, "list refused"),
                What::Closed(reason) => info!(%reason, "closed"),
                What::Held { target, by } => {
                    debug!(endpoint = %target, by = by.as_str(), "dial held");
                }
                What::SessionGone
                | What::Switching { .. }
                | What::Draining { .. }
                | What::Suspended { .. }
                | What::SpareReady(_)
                | What::SpareLost { .. }
                | What::ListChanged { .. }
                | What::Discovered { .. }
                | What::LateReport { .. }
                | What::NotDriven
                | What::Starved => debug!(?what, "event"),
            }
        }

        fn tell_attempt(&mut self, attempt: &Attempt, at: Time) {
            let Err(error) = &attempt.outcome else {
                return;
            };
            let (name, kind) = (attempt.target.endpoint().name(), error.failure.kind);
            let next = attempt.next.as_ref().map(|next| field::debug(next.wait));
            if let Some(said) = self.said.get_mut(name).filter(|said| said.kind == kind) {
                said.times += 1;
                debug!(endpoint = name, %error, next, "dial failed again");
                // Once at 2, 4, 8, ...: what repeats for ever is still seen now and then.
                if said.times.is_power_of_two() {
                    said.sum_up(name, at);
                }
                return;
            }
            if let Some(other) = self.said.remove(name) {
                other.sum_up_last(name, at);
            }
            info!(endpoint = name, %error, next, "dial failed");
            if self.said.len() < REMEMBERED {
                let (times, since) = (1, at);
                self.said
                    .insert(name.to_string(), Said { kind, times, since });
            }
        }

        fn sum_up_all(&mut self, at: Time) {
            for (name, said) in core::mem::take(&mut self.said) {
                said.sum_up_last(&name, at);
            }
        }
    }

    impl Said {
        fn sum_up(&self, name: &str, at: Time) {
            let (kind, times, within) = (self.kind.as_str(), self.times, at.since(self.since));
            info!(
                endpoint = name,
                kind,
                times,
                ?within,
                "the same failure again"
            );
        }

        /// At the end, unless it was said just now or there was nothing to sum up.
        fn sum_up_last(&self, name: &str, at: Time) {
            if !self.times.is_power_of_two() {
                self.sum_up(name, at);
            }
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod untold {
    use crate::directory::Target;
    use crate::drive::event::What;
    use crate::machine::DialOrder;
    use crate::time::Time;

    #[derive(Debug, Default)]
    pub(crate) struct Spans {}

    #[derive(Debug)]
    pub(crate) struct DialSpan;

    #[allow(
        clippy::unused_self,
        reason = "the same calls with the feature and without"
    )]
    impl Spans {
        pub(crate) fn are_heard(&self) -> bool {
            false
        }

        pub(crate) fn dial(&self, _: &DialOrder, _: &Target) -> DialSpan {
            DialSpan
        }

        pub(crate) fn tell(&mut self, _: &What, _: Time) {}
    }

    #[allow(
        clippy::unused_self,
        reason = "the same calls with the feature and without"
    )]
    impl DialSpan {
        pub(crate) fn in_scope<T>(&self, then: impl FnOnce() -> T) -> T {
            then()
        }
    }
}

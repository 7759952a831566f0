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

    /// The span of the outage, if there is one.
    #[derive(Debug)]
    pub(crate) struct Spans {
        outage: Span,
        /// The last kind of failure of each endpoint in this outage: the same again is told at a
        /// lower level.
        said: BTreeMap<String, Kind>,
    }

    impl Default for Spans {
        fn default() -> Self {
            Self {
                outage: Span::none(),
                said: BTreeMap::new(),
            }
        }
    }

    /// The span of one dial.
    #[derive(Debug)]
    pub(crate) struct DialSpan(Span);

    impl DialSpan {
        pub(crate) fn in_scope<T>(&self, then: impl FnOnce() -> T) -> T {
            self.0.in_scope(then)
        }
    }

    impl Spans {
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

        pub(crate) fn tell(&mut self, what: &What) {
            let outage = self.outage.clone();
            outage.in_scope(|| self.tell_here(what));
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
                self.said.clear();
            }
        }

        fn tell_here(&mut self, what: &What) {
            match what {
                What::Attempt(attempt) => self.tell_attempt(attempt),
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

        fn tell_attempt(&mut self, attempt: &Attempt) {
            let Err(error) = &attempt.outcome else {
                return;
            };
            let name = attempt.target.endpoint().name();
            let next = attempt.next.as_ref().map(|next| field::debug(next.wait));
            let again = self.said.insert(name.to_string(), error.failure.kind);
            if again == Some(error.failure.kind) {
                debug!(endpoint = name, %error, next, "dial failed again");
            } else {
                info!(endpoint = name, %error, next, "dial failed");
            }
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod untold {
    use crate::directory::Target;
    use crate::drive::event::What;
    use crate::machine::DialOrder;

    #[derive(Debug, Default)]
    pub(crate) struct Spans {}

    #[derive(Debug)]
    pub(crate) struct DialSpan;

    #[allow(
        clippy::unused_self,
        reason = "the same calls with the feature and without"
    )]
    impl Spans {
        pub(crate) fn dial(&self, _: &DialOrder, _: &Target) -> DialSpan {
            DialSpan
        }

        pub(crate) fn tell(&mut self, _: &What) {}
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

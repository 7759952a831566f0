//! What was said through handles, taken in.

use std::task::Context;

use crate::dial::Dial;
use crate::drive::clock::Clock;
use crate::drive::connector::Connector;
use crate::drive::event::What;
use crate::drive::handle::{Goal, Network};
use crate::machine::{self, Input, Whither};

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// Takes in what was said through handles.
    pub(super) fn hear(&mut self, cx: &Context<'_>) {
        self.hear_health(cx.waker());
        let words = self.shared.listen(cx.waker());
        if words.close {
            self.feed(Input::Close, None);
            return;
        }
        for change in words.changes {
            if let Err(error) = self.change_list(change) {
                self.publish(self.clock.now(), What::ListRefused { error });
            }
        }
        if let Some((connection, list)) = words.learned {
            self.hear_list(connection, &list);
        }
        match words.network {
            Some(Network::Gone) => drop(self.feed(Input::Pause, None)),
            Some(Network::Back) => drop(self.feed(Input::Resume, None)),
            None => {}
        }
        if let (true, machine::Status::Connected { link, .. }) =
            (words.drain, self.machine.status())
        {
            let attempt = link.attempt;
            self.feed(Input::Drain { attempt }, None);
        }
        if let Some(goal) = words.reconnect {
            self.force(goal);
        }
    }

    pub(super) fn force(&mut self, goal: Goal) {
        let whither = match goal {
            Goal::Any => Whither::Any,
            Goal::Other => Whither::Other,
            Goal::This(name) => match self.find(name) {
                Ok(id) => Whither::This(id),
                Err(error) => return self.publish(self.clock.now(), What::ListRefused { error }),
            },
        };
        self.feed(Input::Reconnect(whither), None);
    }
}

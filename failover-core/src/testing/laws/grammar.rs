//! The order of events: L15.

use std::collections::{BTreeMap, BTreeSet};

use crate::attempt::AttemptId;
use crate::endpoint::EndpointId;
use crate::machine::{Answer, AttemptEnded, Change, DialOrder, Event, Input, Link, Output, Why};
use crate::sim::{Step, Trace};
use crate::testing::laws::{Violation, violation};

/// **L15 event grammar.** `Attempt* Connected (Disconnected(why) Attempt* (Reconnected |
/// FailedOver))* Closed(why)`; an overlapping move is `Switching → Moved` without `Disconnected`,
/// and one away from a server that is switched on again may be withdrawn;
/// close by the user while connected = `Disconnected(by user)`, `Closed`; suspended, discovered,
/// draining, starved may stand anywhere before `Closed`; one `Attempt` event per dial. `Reconnected`
/// names the server that was lost, `FailedOver` another. That the session is gone is told before the
/// first dial elsewhere.
///
/// # Errors
/// The first event out of place.
pub fn l15_grammar(trace: &Trace) -> Result<(), Violation> {
    let mut grammar = Grammar {
        state: State::Never,
        dials: BTreeMap::new(),
        late: BTreeSet::new(),
        elsewhere: Elsewhere::No,
        done: BTreeMap::new(),
        spares: Vec::new(),
        switching: Switching::Not,
        starved: false,
    };
    for (at, step) in trace.steps.iter().enumerate() {
        grammar.hear(step);
        for output in &step.outputs {
            if let Err(what) = grammar.output(output) {
                return violation("L15", at, what);
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Never,
    Up(Link),
    Down(EndpointId),
    ByUser,
    Closed,
}

/// Whether a move was begun, and may have been withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switching {
    Not,
    Begun,
    /// Its server was switched on: another may begin.
    Perhaps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elsewhere {
    No,
    Dialled,
}

struct Grammar {
    state: State,
    dials: BTreeMap<AttemptId, DialOrder>,
    /// Dials that were held before they began: their deadlines are later.
    late: BTreeSet<AttemptId>,
    /// Whether another than the lost server was dialled since.
    elsewhere: Elsewhere,
    /// Dials that were told as done and not used yet.
    done: BTreeMap<AttemptId, Link>,
    spares: Vec<Link>,
    switching: Switching,
    starved: bool,
}

impl Grammar {
    fn hear(&mut self, step: &Step) {
        if let (Input::Begun { attempt }, Answer::Taken) = (step.input, step.answer) {
            self.late.insert(attempt);
        }
        if let (Input::Change(Change::On(id)), State::Up(up)) = (&step.input, self.state)
            && *id == up.endpoint
            && self.switching == Switching::Begun
        {
            self.switching = Switching::Perhaps;
        }
    }

    fn output(&mut self, output: &Output) -> Result<(), String> {
        match output {
            Output::Dial(order) => {
                self.starved = false;
                if let State::Down(lost) = self.state
                    && order.endpoint != lost
                {
                    self.elsewhere = Elsewhere::Dialled;
                }
                match self.dials.insert(order.attempt, *order) {
                    Some(_) => Err(format!("the dial {} comes twice", order.attempt)),
                    None if order.number == 0 => Err("a dial is numbered 0".into()),
                    None => Ok(()),
                }
            }
            Output::Cancel(attempt) => match self.dials.contains_key(attempt) {
                true => Ok(()),
                false => Err(format!("{attempt} is cancelled, which is not in flight")),
            },
            Output::HangUp { attempt, .. } => {
                self.done.remove(attempt);
                self.spares.retain(|spare| spare.attempt != *attempt);
                Ok(())
            }
            Output::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        let out_of_place = |state| Err(format!("{event:?} while {state:?}"));
        if self.state == State::Closed {
            return out_of_place(self.state);
        }
        match (event, self.state) {
            (Event::Attempt(ended), _) => return self.attempt(ended),
            (Event::Connected(link), State::Never) => return self.up(*link),
            (Event::Reconnected(link), State::Down(lost)) if link.endpoint == lost => {
                return self.up(*link);
            }
            (Event::FailedOver { to, from }, State::Down(lost))
                if *from == lost && to.endpoint != lost =>
            {
                return self.up(*to);
            }
            (Event::Disconnected { link, why, .. }, State::Up(up)) if *link == up => {
                self.switching = Switching::Not;
                self.elsewhere = Elsewhere::No;
                self.state = match why {
                    Why::ByUser => State::ByUser,
                    Why::Lost(_) | Why::Left(_) => State::Down(up.endpoint),
                };
            }
            (Event::Switching { from, .. }, State::Up(up))
                if *from == up && self.switching != Switching::Begun =>
            {
                self.switching = Switching::Begun;
            }
            (Event::Moved { to, from, .. }, State::Up(up))
                if self.switching != Switching::Not && *from == up.endpoint =>
            {
                self.switching = Switching::Not;
                return self.up(*to);
            }
            (Event::Draining { link, .. }, State::Up(up)) if *link == up => {}
            (Event::SpareReady(link), State::Up(_)) => {
                self.take_done(link)?;
                self.spares.push(*link);
            }
            (Event::SpareLost { link, .. }, _) if self.spares.contains(link) => {
                self.spares.retain(|spare| spare != link);
            }
            (Event::SessionGone, State::Down(_)) if self.elsewhere == Elsewhere::No => {}
            (Event::Suspended { .. }, _) => {}
            (Event::Starved, State::Never | State::Down(_)) if !self.starved => {
                self.starved = true;
            }
            (Event::Closed(_), State::Never | State::Down(_) | State::ByUser) => {
                if let Some(attempt) = self.dials.keys().next() {
                    return Err(format!("Closed, and the end of {attempt} was never told"));
                }
                self.state = State::Closed;
            }
            (_, state) => return out_of_place(state),
        }
        Ok(())
    }

    fn attempt(&mut self, ended: &AttemptEnded) -> Result<(), String> {
        let id = ended.order.attempt;
        let Some(order) = self.dials.remove(&id) else {
            return Err(format!("the end of {id} is told, which is not in flight"));
        };
        let mut adopted = DialOrder {
            role: ended.order.role,
            ..order
        };
        if self.late.remove(&id) && ended.order.deadline >= order.deadline {
            adopted.deadline = ended.order.deadline;
        }
        if adopted != ended.order {
            return Err(format!("{:?} is told as {:?}", order, ended.order));
        }
        if ended.outcome.is_ok() {
            let link = Link {
                attempt: id,
                endpoint: order.endpoint,
                route: order.route,
            };
            self.done.insert(id, link);
        }
        Ok(())
    }

    fn up(&mut self, link: Link) -> Result<(), String> {
        match self.spares.iter().position(|spare| *spare == link) {
            Some(at) => drop(self.spares.remove(at)),
            None => self.take_done(&link)?,
        }
        self.state = State::Up(link);
        Ok(())
    }

    fn take_done(&mut self, link: &Link) -> Result<(), String> {
        match self.done.remove(&link.attempt) {
            Some(done) if done == *link => Ok(()),
            Some(_) | None => Err(format!("{link:?} stands, but no dial made it")),
        }
    }
}

//! A link policy in a file.

use thiserror::Error;

use crate::config::form::form;
use crate::config::value::{Span, Switch, Word, Worded};
use crate::heartbeat::{Heartbeat, HeartbeatError};
use crate::link::{AtLoss, Bounds, Late, LinkPolicy, Outbox, Overflow, Replay, Reply};

form! {
    /// [`LinkPolicy`]: what differs from the preset's.
    pub struct LinkForm {
        /// How the peer is watched, or off.
        heartbeat: Switch<HeartbeatForm>,
        /// Messages sent while there is no connection, or off.
        outbox: Switch<OutboxForm>,
        /// Requests without an answer, or off.
        reply: Switch<ReplyForm>,
        /// What is sent again, or off.
        replay: Switch<ReplayForm>,
        /// How much is kept beside bytes, and what a full outbox does.
        bounds: BoundsForm,
        /// What a loss means for flushes and requests in flight.
        at_loss: Worded<AtLoss>,
    }
}

form! {
    /// [`Heartbeat`].
    pub struct HeartbeatForm {
        /// How long the peer may be silent before it is asked.
        interval: Span,
        /// How many pings may be unanswered.
        max_outstanding: u32,
        /// How long we may be silent.
        beat: Span,
        /// How long a write may be pending.
        write_deadline: Span,
    }
}

form! {
    /// [`Outbox`]: one of the two keys.
    pub struct OutboxForm {
        /// Keeps up to this many bytes.
        keep: u64,
        /// The sender waits this long; off: for ever.
        wait: Switch<Span>,
    }
}

form! {
    /// [`Reply`].
    pub struct ReplyForm {
        /// How long. Never left out.
        deadline: Span,
        /// And then?
        late: Worded<Late>,
    }
}

form! {
    /// [`Replay`]: one of the two keys.
    pub struct ReplayForm {
        /// The unconfirmed, up to this many bytes.
        bytes: u64,
        /// The latest, up to this many.
        messages: u32,
    }
}

form! {
    /// [`Bounds`].
    pub struct BoundsForm {
        /// How many messages wait, how many await their confirmation, and how many requests their answers.
        messages: u32,
        /// Messages that wait longer are dropped; off: none.
        age: Switch<Span>,
        /// What a full outbox does.
        overflow: Worded<Overflow>,
        /// With `overflow = "wait"`: how long the sender waits; off: for ever.
        patience: Switch<Span>,
    }
}

impl Word for Overflow {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("reject", Self::Reject),
        ("drop-oldest", Self::DropOldest),
        ("wait", Self::Wait { most: None }),
    ];
}

impl Word for AtLoss {
    const WORDS: &'static [(&'static str, Self)] = &[("fail", Self::Fail), ("wait", Self::Wait)];
}

impl Word for Late {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("fault", Self::Fault),
        ("discard", Self::Discard),
        ("report", Self::Report),
    ];
}

/// Why a form is no link policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkFormError {
    /// None of several keys, or more than one.
    #[error("link.{part}: write one of {keys}, or \"off\"")]
    OneOf {
        /// The table.
        part: &'static str,
        /// Its keys.
        keys: &'static str,
    },
    /// No message would have room.
    #[error("link.bounds: `messages` is 0, it must be at least 1")]
    NoMessages,
    /// The heartbeat was refused.
    #[error("link: {0}")]
    Heartbeat(#[from] HeartbeatError),
}

impl LinkForm {
    /// The link policy: this one, with what the form says.
    ///
    /// # Errors
    /// The first table that makes no sense.
    pub fn link(&self, base: LinkPolicy) -> Result<LinkPolicy, LinkFormError> {
        let mut link = base;
        match &self.heartbeat {
            Some(Switch::On(form)) => link.heartbeat = Some(form.heartbeat()?),
            Some(Switch::Off) => link.heartbeat = None,
            None => {}
        }
        match &self.outbox {
            Some(Switch::On(form)) => link.outbox = form.outbox()?,
            Some(Switch::Off) => link.outbox = Outbox::Off,
            None => {}
        }
        match &self.reply {
            Some(Switch::On(form)) => link.reply = form.reply()?,
            Some(Switch::Off) => link.reply = Reply::Off,
            None => {}
        }
        match &self.replay {
            Some(Switch::On(form)) => link.replay = form.replay()?,
            Some(Switch::Off) => link.replay = Replay::Off,
            None => {}
        }
        if let Some(form) = &self.bounds {
            link.bounds = form.bounds(link.bounds)?;
        }
        if let Some(at_loss) = self.at_loss {
            link.at_loss = at_loss.0;
        }
        Ok(link)
    }
}

impl From<&LinkPolicy> for LinkForm {
    fn from(link: &LinkPolicy) -> Self {
        let heartbeat = link.heartbeat.map(|heartbeat| HeartbeatForm {
            interval: heartbeat.watch().map(|watch| Span(watch.interval)),
            max_outstanding: heartbeat.watch().map(|watch| watch.max_outstanding),
            beat: heartbeat.beat().map(Span),
            write_deadline: heartbeat.write_deadline().map(Span),
        });
        let outbox = match link.outbox {
            Outbox::Off => Switch::Off,
            Outbox::Keep { bytes } => Switch::On(OutboxForm {
                keep: Some(bytes),
                wait: None,
            }),
            Outbox::Wait { most } => Switch::On(OutboxForm {
                keep: None,
                wait: Some(Switch::from_option(most.map(Span))),
            }),
        };
        let reply = match link.reply {
            Reply::Off => Switch::Off,
            Reply::Within { deadline, then } => Switch::On(ReplyForm {
                deadline: Some(Span(deadline)),
                late: Some(Worded(then)),
            }),
        };
        let replay = match link.replay {
            Replay::Off => Switch::Off,
            Replay::Bytes(bytes) => Switch::On(ReplayForm {
                bytes: Some(bytes),
                messages: None,
            }),
            Replay::Messages(messages) => Switch::On(ReplayForm {
                bytes: None,
                messages: Some(messages),
            }),
        };
        Self {
            heartbeat: Some(Switch::from_option(heartbeat)),
            outbox: Some(outbox),
            reply: Some(reply),
            replay: Some(replay),
            bounds: Some(BoundsForm::from(&link.bounds)),
            at_loss: Some(Worded(link.at_loss)),
        }
    }
}

impl HeartbeatForm {
    fn heartbeat(&self) -> Result<Heartbeat, LinkFormError> {
        let mut builder = Heartbeat::builder();
        match (self.interval, self.max_outstanding) {
            (Some(interval), most) => builder = builder.watch(interval.0, most.unwrap_or(2)),
            (None, None) => {}
            (None, Some(_)) => {
                return Err(LinkFormError::OneOf {
                    part: "heartbeat",
                    keys: "`interval` beside `max_outstanding`",
                });
            }
        }
        if let Some(beat) = self.beat {
            builder = builder.beat(beat.0);
        }
        if let Some(deadline) = self.write_deadline {
            builder = builder.write_deadline(deadline.0);
        }
        Ok(builder.build()?)
    }
}

impl OutboxForm {
    fn outbox(&self) -> Result<Outbox, LinkFormError> {
        match (self.keep, self.wait) {
            (Some(bytes), None) => Ok(Outbox::Keep { bytes }),
            (None, Some(Switch::On(most))) => Ok(Outbox::Wait { most: Some(most.0) }),
            (None, Some(Switch::Off)) => Ok(Outbox::Wait { most: None }),
            (None, None) | (Some(_), Some(_)) => Err(LinkFormError::OneOf {
                part: "outbox",
                keys: "`keep` (bytes) and `wait` (a duration)",
            }),
        }
    }
}

impl ReplyForm {
    fn reply(&self) -> Result<Reply, LinkFormError> {
        let Some(deadline) = self.deadline else {
            return Err(LinkFormError::OneOf {
                part: "reply",
                keys: "`deadline`",
            });
        };
        Ok(Reply::Within {
            deadline: deadline.0,
            then: self.late.map_or(Late::default(), |late| late.0),
        })
    }
}

impl ReplayForm {
    fn replay(&self) -> Result<Replay, LinkFormError> {
        match (self.bytes, self.messages) {
            (Some(bytes), None) => Ok(Replay::Bytes(bytes)),
            (None, Some(messages)) => Ok(Replay::Messages(messages)),
            (None, None) | (Some(_), Some(_)) => Err(LinkFormError::OneOf {
                part: "replay",
                keys: "`bytes` and `messages`",
            }),
        }
    }
}

impl BoundsForm {
    fn bounds(&self, base: Bounds) -> Result<Bounds, LinkFormError> {
        let mut bounds = base;
        match self.messages {
            Some(0) => return Err(LinkFormError::NoMessages),
            Some(messages) => bounds.messages = messages,
            None => {}
        }
        match self.age {
            Some(Switch::On(age)) => bounds.age = Some(age.0),
            Some(Switch::Off) => bounds.age = None,
            None => {}
        }
        if let Some(overflow) = self.overflow {
            bounds.overflow = overflow.0;
        }
        match (self.patience, bounds.overflow) {
            (None, _) => {}
            (Some(Switch::On(most)), Overflow::Wait { .. }) => {
                bounds.overflow = Overflow::Wait { most: Some(most.0) };
            }
            (Some(Switch::Off), Overflow::Wait { .. }) => {
                bounds.overflow = Overflow::Wait { most: None };
            }
            (Some(_), Overflow::Reject | Overflow::DropOldest) => {
                return Err(LinkFormError::OneOf {
                    part: "bounds",
                    keys: "`overflow = \"wait\"` beside `patience`",
                });
            }
        }
        Ok(bounds)
    }
}

impl From<&Bounds> for BoundsForm {
    fn from(bounds: &Bounds) -> Self {
        let (overflow, patience) = match bounds.overflow {
            Overflow::Wait { most } => {
                let patience = Switch::from_option(most.map(Span));
                (Overflow::Wait { most: None }, Some(patience))
            }
            other @ (Overflow::Reject | Overflow::DropOldest) => (other, None),
        };
        Self {
            messages: Some(bounds.messages),
            age: Some(Switch::from_option(bounds.age.map(Span))),
            overflow: Some(Worded(overflow)),
            patience,
        }
    }
}

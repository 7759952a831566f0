//! The words of the enums.

use crate::config::value::Word;
use crate::failure::{Kind, Scope};
use crate::policy::{
    CustomDelay, Every, Lost, NobodyReady, Overlap, PlainFallback, Reaction, Shuffle, Start, Walk,
};
use crate::preset::PresetName;

use super::LawName;

/// Writes [`Word`] for an enum: its words, and what they stand for.
macro_rules! words {
    ($($type:ty { $($word:literal => $value:expr,)+ })+) => {
        $(impl Word for $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),+];
        })+
    };
}

words! {
    PresetName {
        "default" => Self::Default,
        "stompit" => Self::Stompit,
        "activemq" => Self::ActiveMq,
        "diffusion_reconnect" => Self::DiffusionReconnect,
        "diffusion_failover" => Self::DiffusionFailover,
        "nats" => Self::Nats,
        "synapse" => Self::Synapse,
    }
    LawName {
        "constant" => Self::Constant,
        "exponential" => Self::Exponential,
        "affine" => Self::Affine,
        "decorrelated" => Self::Decorrelated,
        "phase-ladder" => Self::PhaseLadder,
    }
    Walk {
        "listed" => Self::Listed,
        "first-ready" => Self::FirstReady,
        "rotate" => Self::Rotate,
        "shuffled" => Self::Shuffled(Shuffle::Once),
        "shuffled-each-loss" => Self::Shuffled(Shuffle::EachLoss),
        "shuffled-each-sweep" => Self::Shuffled(Shuffle::EachSweep),
        "weighted" => Self::Weighted,
        "least-failed" => Self::LeastFailed,
    }
    Lost {
        "first" => Self::First,
        "in-place" => Self::InPlace,
        "last" => Self::Last,
        "turn-taken" => Self::TurnTaken,
    }
    Every {
        "attempt" => Self::Attempt,
        "endpoint" => Self::Endpoint,
        "return" => Self::Return,
        "sweep" => Self::Sweep,
    }
    CustomDelay {
        "off" => Self::Off,
        "bounded" => Self::Bounded,
        "unbounded" => Self::Unbounded,
    }
    Start {
        "cascade" => Self::Cascade,
        "persevere" => Self::Persevere,
        "first-only" => Self::FirstOnly,
    }
    PlainFallback {
        "refuse" => Self::Refuse,
        "allow" => Self::Allow,
    }
    NobodyReady {
        "wait" => Self::Wait,
        "fail" => Self::Fail,
        "least-bad" => Self::LeastBad,
    }
    Overlap {
        "allowed" => Self::Allowed,
        "forbidden" => Self::Forbidden,
    }
    Reaction {
        "next" => Self::Next,
        "mark" => Self::Mark,
        "suspend" => Self::Suspend,
        "remove" => Self::Remove,
        "stop" => Self::Stop,
    }
    Scope {
        "transient" => Self::Transient,
        "endpoint" => Self::Endpoint,
        "fatal" => Self::Fatal,
    }
    Kind {
        "resolve" => Self::Resolve,
        "refused" => Self::Refused,
        "unreachable" => Self::Unreachable,
        "timeout" => Self::Timeout,
        "reset" => Self::Reset,
        "closed" => Self::Closed,
        "tls" => Self::Tls,
        "upgrade" => Self::Upgrade,
        "protocol" => Self::Protocol,
        "auth" => Self::Auth,
        "wrong-role" => Self::WrongRole,
        "stale" => Self::Stale,
        "cancelled" => Self::Cancelled,
        "exhausted" => Self::Exhausted,
        "draining" => Self::Draining,
        "none-ready" => Self::NoneReady,
        "other" => Self::Other,
    }
}

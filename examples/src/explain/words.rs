//! The parts of a policy as sentences.

use std::time::Duration;

use failover_core::config::SpreadText;
use failover_core::endpoint::Security;
use failover_core::link::{Bounds, LinkPolicy, Outbox, Overflow, Replay, Reply};
use failover_core::policy::{
    Backoff, Every, Jitter, Limit, Limits, Lost, NobodyReady, Overlap, PlainFallback, Policy,
    Ratio, Shuffle, Start, Walk,
};

use crate::timeline::short;

pub(super) fn policy(policy: &Policy) -> Vec<String> {
    let mut words = vec![order(policy), pace(policy), jitter(policy)];
    let first = policy.pace().first;
    if !first.is_zero() {
        words.push(format!(
            "Right after a loss it waits {} first.",
            short(first)
        ));
    }
    words.push(format!(
        "One dial may take {}, login included.",
        short(policy.deadline())
    ));
    words.push(match policy.stable_after() {
        Duration::ZERO => "Every connection resets the counters.".to_string(),
        life => format!(
            "A connection resets the counters when it has lived for {}; one that is lost sooner \
             counts as a failure.",
            short(life)
        ),
    });
    words.push(match policy.start() {
        Start::FirstOnly => {
            "The first connect dials the first endpoint only; the others are for failover."
                .to_string()
        }
        Start::Cascade | Start::Persevere | _ => {
            "The first connect goes from one endpoint to the next, too.".to_string()
        }
    });
    words.push(format!(
        "Before there was a connection it gives up {}; after there was one, {}.",
        limits(policy.start_up_limits()),
        limits(policy.limits())
    ));
    words.extend(resting(policy));
    words.extend(standing(policy));
    words
}

fn order(policy: &Policy) -> String {
    let order = policy.order();
    let walk = match order.walk {
        Walk::Listed => "from the top of the list, each time",
        Walk::FirstReady => "to the first of the list that is ready, each time",
        Walk::Rotate => "in rotation, from behind the one dialled last",
        Walk::Shuffled(Shuffle::Once) => "in rotation over a list that is shuffled at the start",
        Walk::Shuffled(Shuffle::EachLoss) => "over a list that is shuffled at each loss",
        Walk::Shuffled(Shuffle::EachSweep) => "over a list that is shuffled before each sweep",
        Walk::Weighted => "at random by weight, each once in a sweep",
        Walk::LeastFailed => "to the one with the fewest failures in a row",
        Walk::Shuffled(_) | _ => "in an order of its own",
    };
    let lost = match order.lost {
        Lost::First => "the server that was lost is tried first",
        Lost::InPlace => "the server that was lost keeps its place",
        Lost::Last => "the server that was lost is tried last in every sweep",
        Lost::TurnTaken => "the loss counts as the lost server's turn",
        _ => "the lost server goes where the order says",
    };
    format!("It goes {walk}; {lost}.")
}

fn pace(policy: &Policy) -> String {
    let pace = policy.pace();
    let every = match pace.every {
        Every::Attempt => "before every attempt but the first of an outage",
        Every::Endpoint => {
            "before an endpoint that failed is dialled again, each by its own series"
        }
        Every::Return => "at each return to an endpoint that failed, each by its own series",
        Every::Sweep => {
            "once per sweep over the endpoints, which are dialled back to back within it"
        }
        _ => "before some dials",
    };
    let cap = short(pace.cap);
    let law = match pace.backoff {
        Backoff::Constant(Duration::ZERO) => return "It does not wait between dials.".to_string(),
        Backoff::Constant(wait) => format!("always {}", short(wait)),
        Backoff::Exponential { base, factor } if factor == Ratio::ONE => {
            format!("always {}", short(base))
        }
        Backoff::Exponential { base, factor } => {
            format!(
                "{}, then {factor} times as long each time, up to {cap}",
                short(base)
            )
        }
        Backoff::Affine { initial, factor } => {
            format!("{0} · ({factor}ⁿ − 1), up to {cap}", short(initial))
        }
        Backoff::Decorrelated { base } => format!(
            "a random time between {} and three times the wait before, up to {cap}",
            short(base)
        ),
        Backoff::PhaseLadder { spread, tls_spread } => format!(
            "a ladder that begins within {} ({} before TLS), doubles, and ends at {cap}; each client \
             has a phase of its own",
            short(spread),
            short(tls_spread)
        ),
        _ => "by a law of its own".to_string(),
    };
    format!("It waits {every}: {law}.")
}

fn jitter(policy: &Policy) -> String {
    if policy.pace().backoff.draws() {
        return "The waits are random by themselves; no jitter is added.".to_string();
    }
    let words = |jitter| match jitter {
        Jitter::None => "exact".to_string(),
        Jitter::Full => "drawn from zero up to that".to_string(),
        Jitter::Equal => "drawn from half of that up to that".to_string(),
        Jitter::UpTo(width) => format!("that and up to {} more", short(width)),
        other @ (Jitter::Proportional(_) | _) => {
            let text = serde_json::to_value(SpreadText(other)).unwrap_or_default();
            format!("that, give or take {}", text.as_str().unwrap_or_default())
        }
    };
    let plain = words(policy.jitter(Security::Plain));
    let tls = words(policy.jitter(Security::Tls));
    if plain == tls {
        format!("Each wait is {plain}.")
    } else {
        format!("Each wait is {plain}; before a TLS dial, {tls}.")
    }
}

fn limits(limits: Limits) -> String {
    let mut words = Vec::new();
    for (limit, of) in [
        (limits.turns, "failed tries in a row"),
        (
            limits.per_endpoint,
            "failed tries in a row of every endpoint",
        ),
        (limits.sweeps, "sweeps over the list without success"),
    ] {
        if let Limit::AtMost(most) = limit {
            words.push(match (most, of) {
                (0, _) => "at the first loss".to_string(),
                (1, of) if of.starts_with("sweeps") => "after one sweep over the list".to_string(),
                (most, of) => format!("after {most} {of}"),
            });
        }
    }
    if let Some(elapsed) = limits.elapsed {
        words.push(format!("after {}", short(elapsed)));
    }
    if words.is_empty() {
        return "never".to_string();
    }
    words.join(" or ")
}

fn resting(policy: &Policy) -> Vec<String> {
    let health = policy.health();
    let mut words = Vec::new();
    let factor = if health.factor == Ratio::ONE {
        "always the same".to_string()
    } else {
        format!(
            "then {} times as long each time, up to {}",
            health.factor,
            short(health.maximum)
        )
    };
    words.push(format!(
        "An endpoint that is suspended rests for {}, {factor}.",
        short(health.initial)
    ));
    if health.retries > 0 || !health.retry_delay.is_zero() {
        words.push(format!(
            "A mark rests it for {}; the one after {} in a row suspends it.",
            short(health.retry_delay),
            health.retries
        ));
    }
    for (on, then) in policy.reactions().rules() {
        let kind = on.kind.map(|kind| kind.to_string());
        let code = on.code.map(|code| format!("code {code}"));
        let scope = on.scope.map(|scope| scope.as_str().to_string());
        let what: Vec<String> = [kind, code, scope].into_iter().flatten().collect();
        let what = match what.as_slice() {
            [] => "any other failure".to_string(),
            parts => parts.join(", "),
        };
        words.push(format!(
            "On {what}: {}.",
            format!("{then:?}").to_lowercase()
        ));
    }
    words.push(
        match policy.nobody_ready() {
            NobodyReady::Fail => "When all rest it closes.",
            NobodyReady::LeastBad => "When all rest, the one that would be ready first is dialled.",
            NobodyReady::Wait | _ => "When all rest it waits for the first.",
        }
        .to_string(),
    );
    words
}

fn standing(policy: &Policy) -> Vec<String> {
    let standing = policy.standing();
    let mut words = Vec::new();
    if let Some(resume) = policy.resume() {
        words.push(format!(
            "After a loss it goes back to the same server for {}, every {}; then the session is gone.",
            short(resume.window),
            short(resume.every)
        ));
    }
    if policy.race().most() > 1 {
        let most = policy.race().most();
        words.push(format!("Up to {most} dials race, staggered."));
    }
    if standing.spares > 0 {
        let spares = standing.spares;
        words.push(format!(
            "While connected it keeps {spares} spare connections."
        ));
    }
    if let Some(failback) = standing.failback {
        words.push(format!(
            "While connected to a higher tier it probes the lower ones every {} and goes back after \
             {} good probes and {}.",
            short(failback.every),
            failback.good_probes,
            short(failback.settle)
        ));
    }
    if let Some(age) = standing.max_age {
        words.push(format!(
            "A connection older than {} is replaced.",
            short(age.age)
        ));
    }
    if standing.overlap == Overlap::Forbidden {
        words.push("Two connections never stand at the same time.".to_string());
    }
    if policy.plain_fallback() == PlainFallback::Allow {
        words.push("A plain route may follow a TLS route that failed.".to_string());
    }
    words
}

/// What happens to messages beyond the bound.
fn beyond(bounds: &Bounds) -> String {
    let age = bounds
        .age
        .map_or(String::new(), |age| format!(", for {} at most", short(age)));
    let full = match bounds.overflow {
        Overflow::DropOldest => "; beyond, the oldest are dropped".to_string(),
        Overflow::Wait { most: None } => "; beyond, the sender waits".to_string(),
        Overflow::Wait { most: Some(most) } => {
            format!("; beyond, the sender waits, at most {}", short(most))
        }
        Overflow::Reject | _ => "; beyond, sending fails".to_string(),
    };
    format!("{age}{full}")
}

/// What is wanted of the link.
pub(super) fn link(link: &LinkPolicy) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(heartbeat) = link.heartbeat {
        words.push(match heartbeat.bound() {
            Some(bound) => format!("A silent peer is noticed within {}.", short(bound)),
            None => "It sends heartbeats and expects none.".to_string(),
        });
    }
    match link.outbox {
        Outbox::Keep { bytes } => words.push(format!(
            "Messages sent while there is no connection are kept, up to {bytes} bytes{}.",
            beyond(&link.bounds)
        )),
        Outbox::Wait { most: None } => {
            words.push("A sender waits until there is a connection.".to_string());
        }
        Outbox::Wait { most: Some(most) } => words.push(format!(
            "A sender waits for a connection, at most {}.",
            short(most)
        )),
        Outbox::Off | _ => {}
    }
    if let Reply::Within { deadline, then } = link.reply {
        let then = format!("{then:?}").to_lowercase();
        words.push(format!("A reply has {}, then: {then}.", short(deadline)));
    }
    match link.replay {
        Replay::Bytes(bytes) => words.push(format!(
            "Messages that are not confirmed are sent again, the latest {bytes} bytes."
        )),
        Replay::Messages(messages) => words.push(format!(
            "The latest {messages} messages are sent again, from the last one received."
        )),
        Replay::Off | _ => {}
    }
    words
}

//! The parts of a policy as sentences.

use std::time::Duration;

use failover_core::config::print_duration as short;
use failover_core::endpoint::Security;
use failover_core::policy::{
    Backoff, CustomDelay, Every, Health, Jitter, Limit, Limits, Lost, NobodyReady, Overlap,
    PlainFallback, Policy, Ratio, Reaction, Reactions, Resume, Shuffle, Start, Walk,
};
use failover_core::race::Stagger;

use crate::timeline;

pub(super) fn policy(policy: &Policy) -> Vec<String> {
    let mut words = vec![order(policy), pace(policy)];
    words.extend(jitter(policy));
    let first = policy.pace().first;
    if !first.is_zero() {
        words.push(format!(
            "Right after a loss it waits {} first.",
            short(first)
        ));
    }
    words.push(dials(policy));
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
        Start::Persevere => {
            "The first connect goes from one endpoint to the next, too, and on when each of them \
             turned it away for a reason of its own, such as a wrong password."
                .to_string()
        }
        Start::Cascade | _ => {
            "The first connect goes from one endpoint to the next, too; when each of them turned it \
             away for a reason of its own, such as a wrong password, it ends."
                .to_string()
        }
    });
    words.extend(policy.resume().map(resumed));
    words.extend(ends(policy));
    words.extend(resting(policy));
    words.extend(custom(policy));
    words.extend(standing(policy));
    words
}

fn dials(policy: &Policy) -> String {
    let deadline = short(policy.deadline());
    let turn = policy.turn_deadline().map_or(String::new(), |turn| {
        format!("; one turn over all routes to a server, {}", short(turn))
    });
    format!("One dial may take {deadline}, login included{turn}.")
}

fn resumed(resume: Resume) -> String {
    let first = match resume.first {
        Duration::ZERO => "at once and then".to_string(),
        first => format!("after {} and then", short(first)),
    };
    format!(
        "After a loss it goes back to the same server for {}, {first} every {}; then the session is \
         gone. These tries do not count.",
        short(resume.window),
        short(resume.every)
    )
}

fn ends(policy: &Policy) -> Vec<String> {
    let (before, after) = (limits(policy.start_up_limits()), limits(policy.limits()));
    match (before, after) {
        (None, None) => vec!["It never gives up.".to_string()],
        (Some(before), Some(after)) if before == after => vec![format!("It gives up {before}.")],
        (before, after) => [
            ("Before there was a connection", before),
            ("After a loss", after),
        ]
        .into_iter()
        .map(|(when, ends)| match ends {
            Some(ends) => format!("{when} it gives up {ends}."),
            None => format!("{when} it never gives up."),
        })
        .collect(),
    }
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
        Backoff::PhaseLadder { spread, tls_spread } => {
            let (plain, shrunk) = first_rung("spread", spread, pace.cap);
            let (tls, tls_shrunk) = first_rung("tls_spread", tls_spread, pace.cap);
            format!(
                "a ladder that begins within {plain} ({tls} before TLS), doubles, and ends at {cap}; \
                 each client has a phase of its own{shrunk}{tls_shrunk}"
            )
        }
        _ => "by a law of its own".to_string(),
    };
    let least = match pace.min {
        Duration::ZERO => String::new(),
        least => format!("; never less than {}", short(least)),
    };
    format!("It waits {every}: {law}{least}.")
}

/// The spread that counts, and what became of the one that was asked for, where that is another.
fn first_rung(key: &str, spread: Duration, cap: Duration) -> (String, String) {
    let ladder = Backoff::PhaseLadder {
        spread,
        tls_spread: spread,
    };
    match ladder.wait(1, cap) {
        counts if counts == spread => (short(spread), String::new()),
        counts => {
            let counts = timeline::short(counts);
            let asked = short(spread);
            let why = format!(
                "; {key} = {asked} is shrunk to {counts}, so that doubling ends at {}",
                short(cap)
            );
            (counts, why)
        }
    }
}

/// A jitter as it is written in a file and after a flag.
#[must_use]
pub fn print_jitter(jitter: Jitter) -> String {
    match jitter {
        Jitter::None => "none".to_string(),
        Jitter::Full => "full".to_string(),
        Jitter::Equal => "equal".to_string(),
        Jitter::UpTo(width) => short(width),
        Jitter::Proportional(p) => format!("{}%", f64::from(p.ppm()) / 10_000.0),
        other => format!("{other:?}"),
    }
}

fn jitter(policy: &Policy) -> Option<String> {
    let law = policy.pace().backoff;
    if matches!(law, Backoff::Constant(Duration::ZERO)) {
        return None;
    }
    if law.draws() {
        return Some("The waits are random by themselves; no jitter is added.".to_string());
    }
    let words = |jitter| match jitter {
        Jitter::None => "exact".to_string(),
        Jitter::Full => "drawn from zero up to that".to_string(),
        Jitter::Equal => "drawn from half of that up to that".to_string(),
        Jitter::UpTo(width) => format!("that and up to {} more", short(width)),
        other @ (Jitter::Proportional(_) | _) => {
            format!("that, give or take {}", print_jitter(other))
        }
    };
    let plain = words(policy.jitter(Security::Plain));
    let tls = words(policy.jitter(Security::Tls));
    Some(if plain == tls {
        format!("Each wait is {plain}.")
    } else {
        format!("Each wait is {plain}; before a TLS dial, {tls}.")
    })
}

fn custom(policy: &Policy) -> Option<String> {
    let pace = policy.pace();
    match pace.custom {
        CustomDelay::Bounded => Some(format!(
            "The delay hook is asked before each wait; its answer is kept between {} and {}.",
            short(pace.min),
            short(pace.cap)
        )),
        CustomDelay::Unbounded => {
            Some("The delay hook is asked before each wait, and obeyed.".to_string())
        }
        CustomDelay::Off | _ => None,
    }
}

/// When it gives up, if ever.
fn limits(limits: Limits) -> Option<String> {
    if limits.turns == Limit::AtMost(0) {
        return Some("at once".to_string());
    }
    let mut words = Vec::new();
    if let Limit::AtMost(most) = limits.turns {
        words.push(times(most, "failed try", "failed tries in a row"));
    }
    if let Limit::AtMost(most) = limits.per_endpoint {
        let one = "failed try of every endpoint";
        words.push(times(most, one, "failed tries in a row of every endpoint"));
    }
    if let Limit::AtMost(most) = limits.sweeps {
        let many = "sweeps over the list without success";
        words.push(times(most, "sweep over the list", many));
    }
    if let Some(elapsed) = limits.elapsed {
        words.push(format!("after {}", short(elapsed)));
    }
    (!words.is_empty()).then(|| words.join(" or "))
}

fn times(most: u32, one: &str, many: &str) -> String {
    match most {
        1 => format!("after one {one}"),
        most => format!("after {most} {many}"),
    }
}

fn resting(policy: &Policy) -> Vec<String> {
    let mut words = health("An endpoint", &policy.health());
    words.extend(reactions(policy.reactions()));
    for (at, class) in policy.classes().iter().enumerate() {
        let of = format!("Class {}: an endpoint", at + 1);
        words.extend(class.health.iter().flat_map(|own| health(&of, own)));
        let rules = reactions(&class.reactions).into_iter();
        words.extend(rules.map(|rule| format!("Class {}: {rule}", at + 1)));
        if let Some(Limit::AtMost(most)) = class.per_endpoint {
            let when = times(most, "failed try", "failed tries in a row");
            words.push(format!("{of} is given up {when}."));
        }
    }
    words.push(
        match policy.nobody_ready() {
            NobodyReady::Fail => "When all rest it closes.",
            NobodyReady::LeastBad => "When all rest, the one that would be ready first is dialled.",
            NobodyReady::Wait | _ => "When all rest it waits for the first that is ready.",
        }
        .to_string(),
    );
    words
}

fn health(of: &str, health: &Health) -> Vec<String> {
    let factor = if health.factor == Ratio::ONE {
        "always the same".to_string()
    } else {
        format!(
            "then {} times as long each time, up to {}",
            health.factor,
            short(health.maximum)
        )
    };
    let mut words = vec![format!(
        "{of} that is suspended rests for {}, {factor}.",
        short(health.initial)
    )];
    let rest = match health.retry_delay {
        Duration::ZERO => String::new(),
        delay => format!("rests it for {} and ", short(delay)),
    };
    match (health.retries, rest.is_empty()) {
        (0, true) => {}
        (0, false) => words.push(format!("A mark {rest}suspends it.")),
        (1, _) => words.push(format!(
            "A mark {rest}is forgiven once; the next suspends it."
        )),
        (retries, _) => words.push(format!(
            "A mark {rest}is forgiven {retries} times in a row; the next suspends it."
        )),
    }
    words
}

fn reactions(reactions: &Reactions) -> Vec<String> {
    let mut words = Vec::new();
    for (on, then) in reactions.rules() {
        let kind = on.kind.map(|kind| kind.to_string());
        let code = on.code.map(|code| format!("code {code}"));
        let scope = on.scope.map(|scope| scope.as_str().to_string());
        let what: Vec<String> = [kind, code, scope].into_iter().flatten().collect();
        let what = match what.as_slice() {
            [] => "any other failure".to_string(),
            parts => parts.join(", "),
        };
        let then = match then {
            Reaction::Next => "the next endpoint",
            Reaction::Mark => "it is marked",
            Reaction::Suspend => "it is suspended",
            Reaction::Remove => "it is taken off the list",
            Reaction::Stop => "it ends",
            _ => "it reacts in a way of its own",
        };
        words.push(format!("On {what}: {then}."));
    }
    words
}

fn standing(policy: &Policy) -> Vec<String> {
    let standing = policy.standing();
    let mut words = Vec::new();
    let race = policy.race();
    if race.most() > 1 {
        let stagger = match race.stagger() {
            Stagger::Fixed(each) => format!("{} after one another", short(each)),
            Stagger::Trained { min, max } => format!(
                "one after another as dial times suggest, between {} and {}",
                short(min),
                short(max)
            ),
            _ => "staggered".to_string(),
        };
        words.push(format!(
            "Up to {} dials race, begun {stagger}.",
            race.most()
        ));
    }
    match standing.spares {
        0 => {}
        1 => words.push("While connected it keeps one spare connection.".to_string()),
        spares => words.push(format!(
            "While connected it keeps {spares} spare connections."
        )),
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
            "A connection older than {}, up to {} sooner or later, is replaced.",
            short(age.age),
            short(age.spread)
        ));
    }
    words.push(match standing.overlap {
        Overlap::Forbidden => {
            "Two connections never stand at the same time: one that drains or is to be left is ended \
             before the next is dialled."
                .to_string()
        }
        Overlap::Allowed | _ => format!(
            "A server that drains is left within {}, the next one dialled first; the old connection \
             has {} to finish.",
            short(standing.drain_spread),
            short(standing.grace)
        ),
    });
    words.push(format!(
        "When the network is back, waits end within {}.",
        short(standing.wake_spread)
    ));
    if policy.plain_fallback() == PlainFallback::Allow {
        words.push("A plain route may follow a TLS route that failed.".to_string());
    }
    words
}

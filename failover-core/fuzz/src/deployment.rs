//! A deployment that is read is printed and read to the same again, its policy and its link policy
//! too; whatever is wrong, no error tells credentials.
//!
//! Bytes choose keys and values of a JSON text, most of which have a meaning where they stand.
#![no_main]

use failover_core::config::{
    ClassForm, Deployment, FailbackForm, HealthForm, HeartbeatForm, LimitsForm, LinkForm,
    MaxAgeForm, OrderForm, OutboxForm, PaceForm, PolicyForm, RaceForm, RawReaction, ReplayForm,
    ReplyForm, ResumeForm, ServerForm, StandingForm, UrlText,
};
use libfuzzer_sys::fuzz_target;

type Plain = Deployment<UrlText>;

const WORDS: &[&str] = &[
    "1",
    "0",
    "2",
    "255",
    "256",
    "-1",
    "1.5",
    "1e300",
    "true",
    "null",
    "[]",
    "{}",
    "\"tcp://a:1\"",
    "\"tls://b:2\"",
    "\"wss://joe:secret@c/feed?x\"",
    "\"250ms\"",
    "\"2s\"",
    "\"1h\"",
    "\"0s\"",
    "\"off\"",
    "\"unlimited\"",
    "\"full\"",
    "\"20%\"",
    "\"none\"",
    "\"nats\"",
    "\"synapse\"",
    "\"constant\"",
    "\"exponential\"",
    "\"affine\"",
    "\"decorrelated\"",
    "\"phase-ladder\"",
    "\"sweep\"",
    "\"shuffled\"",
    "\"last\"",
    "\"auth\"",
    "\"endpoint\"",
    "\"suspend\"",
    "\"fault\"",
    "\"bounded\"",
    "\"joe:secret@h\"",
    "\"18446744073709551615s\"",
    "4294967295",
];

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let mut text = String::new();
    if bytes.next().is_some_and(|byte| byte >= 64) {
        text += "{\"version\":1,\"endpoints\":[\"tcp://a:1\"],\"policy\":";
        table(&mut text, &mut bytes, PolicyForm::KEYS, 1);
        text += ",\"link\":";
        table(&mut text, &mut bytes, LinkForm::KEYS, 1);
        text += "}";
    } else {
        table(&mut text, &mut bytes, Plain::KEYS, 0);
    }
    let deployment = match serde_json::from_str::<Plain>(&text) {
        Ok(deployment) => deployment,
        Err(error) => return tells_nothing(&error.to_string(), &text),
    };
    let printed = serde_json::to_string(&deployment).expect(&text);
    let again = serde_json::from_str::<Plain>(&printed);
    assert_eq!(again.ok().as_ref(), Some(&deployment), "{printed}");
    assert!(!format!("{deployment:?}").contains("secret"), "{text}");
    if let Err(error) = deployment.check() {
        return tells_nothing(&error.to_string(), &text);
    }
    let policy = deployment.policy().expect(&text);
    let printed = serde_json::to_string(&PolicyForm::from(&policy)).expect(&text);
    let form: PolicyForm = serde_json::from_str(&printed).expect(&printed);
    assert_eq!(form.policy(), Ok(policy), "{printed}");
    let link = deployment.link().expect(&text);
    let printed = serde_json::to_string(&LinkForm::from(&link)).expect(&text);
    let form: LinkForm = serde_json::from_str(&printed).expect(&printed);
    assert_eq!(form.link(link), Ok(link), "{printed}");
});

fn tells_nothing(error: &str, text: &str) {
    assert!(!error.contains("secret"), "{text}: {error}");
}

/// A table of some of these keys.
fn table(text: &mut String, bytes: &mut impl Iterator<Item = u8>, keys: &[&str], deep: u8) {
    *text += "{";
    let count = bytes.next().unwrap_or(0) % 8;
    for at in 0..count {
        if at > 0 {
            *text += ",";
        }
        let key = pick(keys, bytes.next().unwrap_or(0));
        *text += &format!("\"{key}\":");
        value(text, bytes, key, deep);
    }
    *text += "}";
}

fn value(text: &mut String, bytes: &mut impl Iterator<Item = u8>, key: &str, deep: u8) {
    let choice = bytes.next().unwrap_or(0);
    if key == "name" {
        // A name is what is shown: it hides nothing.
        *text += &format!("\"n{}\"", choice % 4);
        return;
    }
    let keys = keys_of(key);
    match choice % 4 {
        0..=1 if deep < 4 && !keys.is_empty() && !is_list(key) => {
            table(text, bytes, keys, deep + 1)
        }
        0..=2 if deep < 4 && is_list(key) => {
            *text += "[";
            for at in 0..choice / 4 % 4 {
                if at > 0 {
                    *text += ",";
                }
                match bytes.next().unwrap_or(0) {
                    some @ 128.. => *text += pick(WORDS, some),
                    _ => table(text, bytes, keys, deep + 1),
                }
            }
            *text += "]";
        }
        _ => match bytes.next().unwrap_or(0) {
            some @ 224.. => *text += pick(WORDS, some),
            some => *text += pick(words_of(key), some),
        },
    }
}

fn is_list(key: &str) -> bool {
    matches!(key, "endpoints" | "routes" | "reactions" | "classes")
}

fn keys_of(key: &str) -> &'static [&'static str] {
    match key {
        "endpoints" => ServerForm::<UrlText>::KEYS,
        "policy" => PolicyForm::KEYS,
        "order" => OrderForm::KEYS,
        "pace" => PaceForm::KEYS,
        "limits" | "start_up_limits" => LimitsForm::KEYS,
        "health" => HealthForm::KEYS,
        "reactions" => RawReaction::KEYS,
        "classes" => ClassForm::KEYS,
        "standing" => StandingForm::KEYS,
        "failback" => FailbackForm::KEYS,
        "max_age" => MaxAgeForm::KEYS,
        "race" => RaceForm::KEYS,
        "resume" => ResumeForm::KEYS,
        "link" => LinkForm::KEYS,
        "heartbeat" => HeartbeatForm::KEYS,
        "outbox" => OutboxForm::KEYS,
        "reply" => ReplyForm::KEYS,
        "replay" => ReplayForm::KEYS,
        _ => &[],
    }
}

/// Values of the right kind.
fn words_of(key: &str) -> &'static [&'static str] {
    match key {
        "preset" => &[
            "\"nats\"",
            "\"stompit\"",
            "\"activemq\"",
            "\"synapse\"",
            "\"diffusion_failover\"",
        ],
        "jitter" | "tls_jitter" => &["\"none\"", "\"full\"", "\"equal\"", "\"12.5%\"", "\"3ms\""],
        "start" => &["\"cascade\"", "\"persevere\"", "\"first-only\""],
        "plain_fallback" => &["\"refuse\"", "\"allow\""],
        "nobody_ready" => &["\"wait\"", "\"fail\"", "\"least-bad\""],
        "walk" => &[
            "\"listed\"",
            "\"rotate\"",
            "\"shuffled-each-loss\"",
            "\"weighted\"",
        ],
        "lost" => &["\"first\"", "\"in-place\"", "\"last\"", "\"turn-taken\""],
        "law" => &[
            "\"constant\"",
            "\"exponential\"",
            "\"affine\"",
            "\"decorrelated\"",
            "\"phase-ladder\"",
        ],
        "every" => &["\"sweep\"", "\"attempt\"", "\"return\"", "\"3s\""],
        "custom" => &["\"off\"", "\"bounded\"", "\"unbounded\""],
        "overlap" => &["\"allowed\"", "\"forbidden\""],
        "reaction" => &[
            "\"next\"",
            "\"mark\"",
            "\"suspend\"",
            "\"remove\"",
            "\"stop\"",
        ],
        "kind" => &["\"auth\"", "\"refused\"", "\"wrong-role\""],
        "scope" => &["\"transient\"", "\"endpoint\"", "\"fatal\""],
        "late" => &["\"fault\"", "\"discard\"", "\"report\""],
        "factor" => &["1", "1.6", "2.000001", "4294.967295"],
        "version" => &["1"],
        "url" | "transport" | "routes" => &["\"tcp://a:1\"", "\"wss://joe:secret@c/feed?x\""],
        "turns" | "per_endpoint" | "sweeps" => &["0", "7", "4294967295", "\"unlimited\""],
        "retries" | "spares" | "good_probes" | "most" | "tier" | "class" | "weight" | "code"
        | "max_outstanding" | "keep" | "bytes" | "messages" => &["1", "2", "255"],
        _ => &[
            "\"250ms\"",
            "\"2s\"",
            "\"1h\"",
            "\"0s\"",
            "\"1.5s\"",
            "\"off\"",
            "\"3ns\"",
        ],
    }
}

fn pick<'a>(of: &[&'a str], byte: u8) -> &'a str {
    of.get(usize::from(byte) % of.len().max(1))
        .copied()
        .unwrap_or("")
}

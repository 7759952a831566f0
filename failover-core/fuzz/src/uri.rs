//! A `failover:` URI that is read is printed and read to the same again; what is shown holds no
//! credentials; its options make a policy, or an error.
#![no_main]

use failover_core::config::{FailoverUri, UriError};
use failover_core::directory::Url;
use libfuzzer_sys::fuzz_target;

const PIECES: [&str; 24] = [
    "failover:",
    "//",
    "(",
    ")",
    ",",
    "?",
    "&",
    "=",
    "%",
    "tcp://a:1",
    "ssl://joe:secret@b:2",
    "priorityURIs",
    "nested.",
    "randomize",
    "maxReconnects",
    "maxReconnectDelay",
    "initialReconnectDelay",
    "reconnectDelayExponent",
    "backOffMultiplier",
    "timeout",
    "true",
    "18446744073709551615",
    "-1",
    "\u{e9}",
];

fuzz_target!(|bytes: &[u8]| {
    let mut text = String::new();
    for byte in bytes {
        match PIECES.get(usize::from(*byte)) {
            Some(piece) => text += piece,
            None => text.push(char::from(*byte)),
        }
    }
    match text.parse::<FailoverUri>() {
        Ok(uri) => {
            assert_eq!(uri.expose().parse::<FailoverUri>().as_ref(), Ok(&uri));
            // What stands in a path is no credential.
            let in_path = |url: &Url| {
                url.rest()
                    .split('?')
                    .next()
                    .is_some_and(|p| p.contains("secret"))
            };
            if !uri.servers().iter().any(in_path) {
                assert!(!format!("{uri} {uri:?}").contains("secret"), "{text:?}");
            }
            match uri.stompit() {
                Ok(options) => drop(options.preset()),
                Err(error) => tells_nothing(&error, &text),
            }
            match uri.activemq() {
                Ok(options) => drop(options.preset()),
                Err(error) => tells_nothing(&error, &text),
            }
        }
        Err(error) => tells_nothing(&error, &text),
    }
});

fn tells_nothing(error: &UriError, text: &str) {
    let said = error.to_string();
    assert!(!said.contains("secret"), "{text:?}: {said}");
}

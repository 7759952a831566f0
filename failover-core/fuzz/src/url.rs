//! What is parsed and printed is parsed to the same again; what is shown is of the same address.
#![no_main]

use failover_core::directory::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    let Ok(url) = text.parse::<Url>() else {
        return;
    };
    let printed = url.expose();
    let again = printed.parse::<Url>();
    assert_eq!(again.as_ref(), Ok(&url), "{printed:?} of {text:?}");
    assert_eq!(again.map(|url| url.expose()), Ok(printed));
    // A query and credentials are shown as stars; what is shown is a URL of the same address.
    let shown = url.to_string().parse::<Url>();
    let address = |url: &Url| (url.scheme().to_owned(), url.authority());
    assert_eq!(shown.as_ref().map(address), Ok(address(&url)), "{text:?}");
});

//! Paths and queries of URLs whose protocol has none.

use failover_core::directory::{Url, UrlError};

/// What is wrong with a URL that has a path or query where nobody could ask for it, and what would be
/// right. None for one that is in order.
///
/// ```
/// use examples::url_path;
///
/// let told = url_path::refused(&"tls://a:1/feed".parse()?).unwrap();
/// assert!(told.ends_with("write `tls://a:1`, or `wss://…` for WebSocket"));
/// assert_eq!(url_path::refused(&"wss://a/feed".parse()?), None);
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[must_use]
pub fn refused(url: &Url) -> Option<String> {
    let upgraded = upgraded(url).filter(|_| is_meaningless(url))?;
    let (scheme, authority) = (url.scheme(), url.authority());
    let or = match url.rest().starts_with('/') {
        true => format!(", or `{upgraded}://…` for WebSocket"),
        false => String::new(),
    };
    Some(format!(
        "`{url}` has a path or query, which {scheme} cannot ask for: write `{scheme}://{authority}`{or}"
    ))
}

/// The same URL without a path or query that is meaningless, and a note of what was left out. Brokers'
/// own URIs have such options: `tcp://a:1?wireFormat.maxInactivityDuration=30000`.
///
/// # Errors
/// None for a URL that was read.
pub fn dropped(url: &Url) -> Result<(Url, Option<String>), UrlError> {
    if !is_meaningless(url) {
        return Ok((url.clone(), None));
    }
    let user = url.userinfo().map(|user| format!("{}@", user.expose()));
    let (scheme, authority) = (url.scheme(), url.authority());
    let bare = format!("{scheme}://{}{authority}", user.unwrap_or_default());
    let note = format!("{authority}: path and query have no meaning over {scheme}");
    Ok((bare.parse()?, Some(note)))
}

/// Whether this is a URL of a stream of bytes that has a path or query: nobody would ask for it.
fn is_meaningless(url: &Url) -> bool {
    upgraded(url).is_some() && !url.host().is_empty() && !matches!(url.rest(), "" | "/")
}

/// The scheme that has paths, for one that has none.
fn upgraded(url: &Url) -> Option<&'static str> {
    match url.scheme() {
        "tcp" | "nats" | "stomp" | "mqtt" => Some("ws"),
        "tls" | "tls-first" | "ssl" | "mqtts" => Some("wss"),
        _ => None,
    }
}

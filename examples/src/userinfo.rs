//! Names and passwords in a URL.

/// `%40` is `@`; what is no such escape stays.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let digits = others.get(..2).filter(|_| first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &others[2..];
            }
            None => {
                plain.push(first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

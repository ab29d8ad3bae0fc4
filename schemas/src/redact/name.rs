//! Which names are secrets' names.

/// What makes a name a secret's, without separators.
const STEMS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "webhook",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "bearer",
];

/// Last words of names whose numbers are measures and no secrets.
const MEASURES: [&str; 12] = [
    "age", "bytes", "count", "days", "enabled", "hours", "length", "limit", "number", "seconds",
    "secs", "size",
];

/// Whether what stands under this name, or path, is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let parts = name.split(['/', '.']);
    parts
        .map(squeezed)
        .any(|part| STEMS.iter().any(|stem| part.contains(stem)))
}

/// Whether this value under this name is a secret.
pub(super) fn hides(name: &str, value: &str) -> bool {
    is_secret_name(name) && !(is_measure(name) && is_plain(value))
}

/// Letters and digits in lower case: `API-Key`, `api key` and `apiKey` are one name.
fn squeezed(part: &str) -> String {
    let kept = part.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

fn is_measure(name: &str) -> bool {
    let last = last_word(name).to_lowercase();
    MEASURES.contains(&last.as_str())
}

/// `count` of `token_count`, `Token count` and `tokenCount`.
fn last_word(name: &str) -> &str {
    let separated = name.rsplit(|c: char| !c.is_alphanumeric()).next();
    let word = separated.unwrap_or(name);
    let hump = |(at, c): (usize, char)| c.is_uppercase().then_some(at);
    let mut humps = word.char_indices().filter_map(hump);
    match humps.next_back() {
        // `COUNT` is one word.
        Some(at) if !word[at..].chars().all(char::is_uppercase) => &word[at..],
        _ => word,
    }
}

fn is_plain(value: &str) -> bool {
    value.parse::<f64>().is_ok() || value.parse::<bool>().is_ok()
}

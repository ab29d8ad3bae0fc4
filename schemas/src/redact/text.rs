//! Secrets shown by a text: URLs, `name=value`, keys.
//!
//! A line is read once from left to right; what is hidden begins at the first thing that
//! looks like a secret and, but for URLs, ends with the line or the quotation.

use super::name::{hides, is_secret_name};
use super::{MASK, SecretKind};

/// Bytes before a sign in which its name is looked for.
const LONGEST_NAME: usize = 160;

const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// A text as it may be said, and how the first secret in it was recognised.
pub fn redact_text(text: &str) -> (String, Option<SecretKind>) {
    let mut said = String::with_capacity(text.len());
    let mut kind = None;
    let mut rest = text;
    while let Some(secret) = first(rest) {
        said.push_str(&rest[..secret.start]);
        said.push_str(MASK);
        kind = kind.or(Some(secret.kind));
        rest = &rest[secret.end..];
    }
    said.push_str(rest);
    (said, kind)
}

/// Bytes `start..end` of a text are a secret.
#[derive(Debug, Clone, Copy)]
struct Secret {
    start: usize,
    end: usize,
    kind: SecretKind,
}

/// The first secret that is not masked yet.
fn first(text: &str) -> Option<Secret> {
    let found = [url(text), named(text), scheme(text), pem(text)];
    found
        .into_iter()
        .flatten()
        .min_by_key(|secret| secret.start)
}

fn masked(text: &str, start: usize, end: usize) -> bool {
    start >= end || text[start..end].trim() == MASK
}

/// User information or the path of a webhook in the first URL that has either.
fn url(text: &str) -> Option<Secret> {
    text.match_indices("://").find_map(|(at, _)| {
        let host = at + 3;
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
        let end = text[host..].find(ends).map_or(text.len(), |n| host + n);
        let path = text[host..end]
            .find(['/', '?', '#'])
            .map_or(end, |n| host + n);
        // A password may itself hold a slash or an `@`: the last one before a blank ends
        // the user information, if what precedes the first slash has a `:` and no port.
        let user = match text[host..path].rfind('@') {
            Some(at) => Some(host + at),
            None => text[host..end]
                .rfind('@')
                .map(|at| host + at)
                .filter(|_| has_password(&text[host..path])),
        };
        if let Some(user) = user.filter(|user| !masked(text, host, *user)) {
            let kind = SecretKind::UrlUser;
            return Some(Secret {
                start: host,
                end: user,
                kind,
            });
        }
        let authority = &text[host..path];
        let rest = &text[path..end];
        let after_slash = path + 1;
        let hook = is_webhook(authority, rest) && !masked(text, after_slash.min(end), end);
        hook.then_some(Secret {
            start: after_slash.min(end),
            end,
            kind: SecretKind::Webhook,
        })
    })
}

fn has_password(authority: &str) -> bool {
    let after = authority.rsplit_once(':').map(|(_, after)| after);
    after.is_some_and(|port| !port.chars().all(|c| c.is_ascii_digit()))
}

fn is_webhook(authority: &str, path: &str) -> bool {
    let (host, path) = (authority.to_lowercase(), path.to_lowercase());
    path.len() > 1
        && (path.contains("webhook") || host.starts_with("hooks.") || host.contains("webhook"))
}

/// What follows `name=`, `name:` or `--name ` for a secret's name.
fn named(text: &str) -> Option<Secret> {
    let mut signs = text.match_indices(['=', ':', ' ']);
    signs.find_map(|(at, sign)| {
        let name = name_before(text, at, sign)?;
        let after = &text[at + sign.len()..];
        let blank = after.len() - after.trim_start_matches([' ', '\t']).len();
        let start = at + sign.len() + blank;
        let end = value_end(text, start);
        let value = text[start..end].trim_matches(['"', '\'', ' ', '\t', ',', '}', ')']);
        // `https://` after `token` is not its value, and is looked at as a URL.
        let is_value = !value.is_empty() && !value.starts_with("//") && value != MASK;
        let secret = is_value && hides(name, value) && !masked(text, start, end);
        secret.then_some(Secret {
            start,
            end,
            kind: SecretKind::InText,
        })
    })
}

/// The name that ends before byte `at`, if it is a secret's. Names have letters, digits
/// and the separators that join them; one blank joins words, as in `API key: x`.
fn name_before<'a>(text: &'a str, at: usize, sign: &str) -> Option<&'a str> {
    let before = text[..at].trim_end_matches(['"', '\'', ' ', '\t']);
    let window = before.floor_char_boundary(before.len().saturating_sub(LONGEST_NAME));
    let line = before[window..]
        .rfind('\n')
        .map_or(window, |n| window + n + 1);
    let joins =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ' | '[' | ']');
    let tail = &before[line..];
    let from = tail
        .char_indices()
        .rev()
        .find(|(_, c)| !joins(*c))
        .map_or(0, |(n, c)| n + c.len_utf8());
    let name = tail[from..].trim();
    if sign == " " {
        // Only an option of a command line is followed by its value after a blank.
        let word = name.rsplit(' ').next()?;
        let option = word.strip_prefix("--")?;
        return is_secret_name(option).then_some(option);
    }
    // Of a sentence only the last words can be the name.
    let words: Vec<&str> = name.split_whitespace().collect();
    let last = words.len().saturating_sub(3);
    let begin = words.get(last)?.as_ptr() as usize - name.as_ptr() as usize;
    let name = &name[begin..];
    is_secret_name(name).then_some(name)
}

/// Where a value that begins at `start` ends: with its line, or with its quotation if
/// that ends later.
fn value_end(text: &str, start: usize) -> usize {
    let line_end = |from: usize| {
        text[from..]
            .find(['\n', '\r'])
            .map_or(text.len(), |n| from + n)
    };
    let quote = text[start..].chars().next();
    let Some(quote) = quote.filter(|c| matches!(c, '"' | '\'')) else {
        return line_end(start);
    };
    let mut escaped = false;
    for (n, c) in text[start + 1..].char_indices() {
        if c == quote && !escaped {
            return line_end(start + 1 + n);
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// What follows `Bearer` or `Basic`, as in the header of a request.
fn scheme(text: &str) -> Option<Secret> {
    let lower = text.to_ascii_lowercase();
    let words = ["bearer ", "basic "];
    let found = words.into_iter().filter_map(|word| {
        lower.match_indices(word).find_map(|(at, _)| {
            let start = at + word.len();
            let end = value_end(text, start);
            let value = text[start..end].trim();
            let credential = value.split_whitespace().next()?;
            // A word of a sentence is not a credential: those are long or mixed.
            let mixed =
                credential.len() >= 16 || credential.bytes().any(|b| !b.is_ascii_lowercase());
            let begins = text[..at]
                .chars()
                .next_back()
                .is_none_or(|c| !c.is_alphanumeric());
            (begins && mixed && credential != MASK).then_some(Secret {
                start,
                end,
                kind: SecretKind::Authorization,
            })
        })
    });
    found.min_by_key(|secret| secret.start)
}

/// A private key between its PEM lines; to the end of the text if it is cut off.
fn pem(text: &str) -> Option<Secret> {
    text.match_indices(PEM_BEGIN).find_map(|(at, _)| {
        let head = text[at + PEM_BEGIN.len()..].find("-----")?;
        let label = &text[at + PEM_BEGIN.len()..at + PEM_BEGIN.len() + head];
        let start = at + PEM_BEGIN.len() + head + 5;
        let end = text[start..]
            .find(PEM_END)
            .map_or(text.len(), |n| start + n);
        let key = label.ends_with("PRIVATE KEY") && !masked(text, start, end);
        key.then_some(Secret {
            start,
            end,
            kind: SecretKind::PrivateKey,
        })
    })
}

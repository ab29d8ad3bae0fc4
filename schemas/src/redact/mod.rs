//! What must not be said: secrets that people leave in run files, messages and settings.
//!
//! One rule for everybody: what is stored under a secret's name, and what a text shows of
//! one, becomes [`MASK`] before it goes into metadata, messages, logs or previews. Raw
//! bytes are never altered: who finds a secret in them tells where ([`Found`]), never what.
//!
//! **Names.** A name is a secret's if a part of it, whatever the case and with or without
//! separators, contains `password`, `passwd`, `passphrase`, `pwd`, `secret`, `token`,
//! `webhook`, `credential`, `apikey`, `accesskey`, `privatekey`, `authorization` or
//! `bearer`. Every part of a path counts: `/Credentials/SQL/User` is hidden too. It is
//! better to hide a word too many: `tokenizer` is hidden. Not hidden are
//! - names that end in what is counted or measured (`token_count`, `password length`), as
//!   long as the value is a number or a truth value;
//! - `pass`, `key`, `user` and `auth` alone: too many ordinary things are called so.
//!
//! **Texts.** Hidden are user information in URLs, the path of webhook URLs, everything
//! after `name=`, `name:` or `--name ` up to the end of the line (of the quotation, if that
//! ends later) for a secret's name, everything after `Bearer ` or `Basic ` to the end of the
//! line, and private keys in PEM. A secret under an ordinary name in ordinary words cannot
//! be known and is not found.

mod json;
mod name;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use json::redact_json;
pub use name::is_secret_name;
pub use text::redact_text;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Where a secret was found, never which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Found {
    /// The path or name under which it stands.
    pub place: String,
    /// How it was recognised.
    pub kind: SecretKind,
}

/// How a secret was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretKind {
    /// By the name that it stands under.
    Named,
    /// User information of a URL.
    UrlUser,
    /// A URL by which anybody can post.
    Webhook,
    /// By its name in a text.
    InText,
    /// What follows `Bearer` or `Basic`.
    Authorization,
    /// A private key in PEM.
    PrivateKey,
}

impl SecretKind {
    /// The one spelling of this kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::UrlUser => "url-user",
            Self::Webhook => "webhook",
            Self::InText => "in-text",
            Self::Authorization => "authorization",
            Self::PrivateKey => "private-key",
        }
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.kind)
    }
}

/// A value under a name, as it may be said, and how a secret in it was recognised. An
/// empty value is no secret.
pub fn redact_value(name: &str, value: &str) -> (String, Option<SecretKind>) {
    if value.is_empty() || value == MASK {
        return (value.to_owned(), None);
    }
    if name::hides(name, value) {
        return (MASK.to_owned(), Some(SecretKind::Named));
    }
    if let Some((said, kind)) = json::redact_document(value) {
        return (said, kind);
    }
    redact_text(value)
}

#[cfg(test)]
mod tests;

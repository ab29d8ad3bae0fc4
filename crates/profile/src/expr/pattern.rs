//! Patterns of texts: `*` stands for any characters, `?` for one.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A pattern. It matches whole texts, upper and lower case apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Any text is a pattern.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` is of this pattern. Takes at most the product of their lengths.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), text);
        // Where to go on if the last `*` must stand for one character more.
        let mut again: Option<(&str, &str)> = None;
        loop {
            let mut after = pattern.chars();
            match (after.next(), rest.chars().next()) {
                (Some('*'), _) => {
                    pattern = after.as_str();
                    again = Some((pattern, rest));
                }
                (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                    pattern = after.as_str();
                    rest = &rest[found.len_utf8()..];
                }
                (None, None) => return true,
                _ => {
                    let Some((behind, from)) = again else {
                        return false;
                    };
                    let Some(skipped) = from.chars().next() else {
                        return false;
                    };
                    rest = &from[skipped.len_utf8()..];
                    pattern = behind;
                    again = Some((behind, rest));
                }
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By definition: what a pattern may stand for, tried out.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            (['*', rest @ ..], name) => {
                (0..=name.len()).any(|taken| by_definition(rest, &name[taken..]))
            }
            (['?', rest @ ..], [_, others @ ..]) => by_definition(rest, others),
            ([sign, rest @ ..], [first, others @ ..]) if sign == first => {
                by_definition(rest, others)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn texts_are_of_a_pattern_by_its_definition(
            pattern in "[ab*?]{0,8}", name in "[ab]{0,10}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = by_definition(&chars(&pattern), &chars(&name));
            prop_assert_eq!(Pattern::new(pattern).matches(&name), expected);
        }
    }
}

//! Patterns of texts: `*` stands for any characters, `?` for one.

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

//! Patterns of file names: `*` stands for any characters, `?` for one.

use std::fmt;
use std::str::FromStr;

/// A pattern of file names, such as `run*.mid.gz`. `*` also stands for slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Whether a name is of this pattern.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<_>, Vec<_>) = (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut next) = (0, 0);
        // Where the last `*` stands, and up to where it reaches so far.
        let mut star: Option<(usize, usize)> = None;
        while next < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, next));
                    at += 1;
                }
                Some(sign) if *sign == '?' || *sign == name[next] => {
                    at += 1;
                    next += 1;
                }
                _ => {
                    let Some((place, reach)) = star else {
                        return false;
                    };
                    star = Some((place, reach + 1));
                    at = place + 1;
                    next = reach + 1;
                }
            }
        }
        pattern[at..].iter().all(|sign| *sign == '*')
    }

    /// The pattern in SQL's terms, with `!` as its escape.
    pub(crate) fn like(&self) -> String {
        let mut like = String::with_capacity(self.0.len());
        for sign in self.0.chars() {
            match sign {
                '*' => like.push('%'),
                '?' => like.push('_'),
                '%' | '_' | '!' => like.extend(['!', sign]),
                sign => like.push(sign),
            }
        }
        like
    }
}

impl FromStr for Glob {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Glob {
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
        fn names_are_of_a_pattern_by_its_definition(
            pattern in "[ab*?]{0,8}", name in "[ab]{0,10}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = by_definition(&chars(&pattern), &chars(&name));
            let glob: Glob = pattern.parse().unwrap();
            prop_assert_eq!(glob.matches(&name), expected);
        }
    }

    #[test]
    fn signs_of_sql_are_themselves() {
        let glob: Glob = "run_?%*!.mid".parse().unwrap();
        assert_eq!(glob.like(), "run!__!%%!!.mid");
        assert!(glob.matches("run_1%x!.mid") && !glob.matches("runx1%x!.mid"));
    }
}

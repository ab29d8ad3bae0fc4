//! How templates of names and keys are written: text as it stands, and fields between
//! braces, such as `run{run:05}.mid`. Which fields there are, each kind of template says
//! for itself.

/// Digits of the greatest number that there is.
const MOST_DIGITS: usize = 20;

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// As it stands; never empty.
    Literal(&'t str),
    /// What differs.
    Field(Field<'t>),
}

/// A field of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'t> {
    /// What stands between the braces.
    pub text: &'t str,
    /// Its name.
    pub name: &'t str,
    /// With how many digits a number is written at least, where it says so.
    pub digits: Option<usize>,
}

impl<'t> Field<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let Some((name, digits)) = text.split_once(':') else {
            let (name, digits) = (text, None);
            return Some(Self { text, name, digits });
        };
        let digits = digits
            .parse()
            .ok()
            .filter(|digits| *digits <= MOST_DIGITS)?;
        let digits = Some(digits);
        Some(Self { text, name, digits })
    }
}

/// The parts of a template, in order.
///
/// Errors: what stands between braces that is no field, or after one that is never closed.
pub fn parts(template: &str) -> Result<Vec<Part<'_>>, &str> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((literal, tail)) = rest.split_once('{') {
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let (text, after) = tail.split_once('}').ok_or(tail)?;
        parts.push(Part::Field(Field::parse(text).ok_or(text)?));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_fields_follow_each_other() {
        let field = |text, name, digits| Part::Field(Field { text, name, digits });
        let expected = [
            field("site", "site", None),
            Part::Literal("/run"),
            field("run:05", "run", Some(5)),
            field("", "", None),
            Part::Literal(".mid}"),
        ];
        assert_eq!(parts("{site}/run{run:05}{}.mid}").unwrap(), expected);
        assert_eq!(parts(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_field_is_named() {
        for (template, wrong) in [
            ("a{run", "run"),
            ("a{run:x}", "run:x"),
            ("a{run:21}", "run:21"),
            ("a{run:-1}b", "run:-1"),
            ("{", ""),
        ] {
            assert_eq!(parts(template), Err(wrong), "{template}");
        }
    }
}

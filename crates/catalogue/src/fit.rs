//! What the DAQ says about a run, cut to what the columns hold.
//!
//! Pure. A text that is too long must never keep a run from being recorded, and is not
//! lost: what is cut stands whole in an attribute beside it. An attribute `X.full`
//! completes X where it begins with X and is longer; an attribute of the DAQ's own under
//! such a name stands as it is.

use std::collections::BTreeMap;

use aquifer_runtime::trace::TraceParent;
use uuid::Uuid;

use crate::facts::Attribute;

/// Characters of `run.run_type`.
const RUN_TYPE: usize = 128;
/// Characters of `run.type_by`.
const WHO: usize = 128;
/// Characters of `run_attribute.name`.
const NAME: usize = 255;
/// Characters of `run_attribute.unit`.
const UNIT: usize = 64;
/// Characters of a name that was cut, before its mark: with the mark and the longest
/// ending it is as long as a name may be.
const CUT_NAME: usize = NAME - 1 - 32 - ".unit.full".len();

/// The type of a run as its column holds it.
pub(crate) fn run_type(said: Option<&str>) -> Option<String> {
    said.map(|said| cut(said, RUN_TYPE).to_owned())
}

/// Who set something, as its column holds it.
pub(crate) fn who(said: &str) -> String {
    cut(said, WHO).to_owned()
}

/// The attributes of a run as their columns hold them, with what was cut from them and
/// from the run's type.
pub(crate) fn attributes(
    run_type: Option<&str>,
    said: &BTreeMap<String, Attribute>,
) -> BTreeMap<String, Attribute> {
    let mut fitted = BTreeMap::new();
    let mut whole = Vec::new();
    if let Some(run_type) = run_type.filter(|text| too_long(text, RUN_TYPE)) {
        whole.push(("run_type.full".to_owned(), run_type));
    }
    for (name, attribute) in said {
        let mut fit = attribute.storable();
        let short = short_name(name, NAME);
        if short != *name {
            whole.push((format!("{short}.name.full"), name));
        }
        let unit = attribute.unit.as_deref();
        if let Some(unit) = unit.filter(|unit| too_long(unit, UNIT)) {
            let beside = short_name(&short, NAME - ".unit.full".len());
            whole.push((format!("{beside}.unit.full"), unit));
            fit.unit = Some(cut(unit, UNIT).to_owned());
        }
        fitted.insert(short, fit);
    }
    for (name, text) in whole {
        fitted.entry(name).or_insert_with(|| Attribute::text(text));
    }
    fitted
}

/// A context that is one. Anything else leads nowhere, and need not fit.
pub(crate) fn trace(said: Option<&str>) -> Option<String> {
    let parent: Option<TraceParent> = said.and_then(|text| text.parse().ok());
    parent.map(String::from)
}

/// A name of at most `most` characters: one that is longer is cut and marked with a
/// digest of it all, because names that begin alike are different.
fn short_name(name: &str, most: usize) -> String {
    if !too_long(name, most) {
        return name.to_owned();
    }
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    format!("{}~{}", cut(name, CUT_NAME), digest.simple())
}

fn too_long(text: &str, most: usize) -> bool {
    cut(text, most).len() < text.len()
}

/// The first characters of a text: columns count them, not bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most);
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::AttributeValue;

    fn attribute() -> impl Strategy<Value = Attribute> {
        let unit = proptest::option::of("[Vé🦀]{0,70}");
        (any::<i32>(), unit).prop_map(|(value, unit)| Attribute {
            value: AttributeValue::Number(f64::from(value)),
            unit,
        })
    }

    /// Names of any length, many of which begin alike.
    fn name() -> impl Strategy<Value = String> {
        let end = prop_oneof!["[ab]{1,8}", "[aé🦀]{200,300}"];
        (0..3_usize, end).prop_map(|(begin, end)| "é".repeat(begin * 120) + &end)
    }

    fn texts(attributes: &BTreeMap<String, Attribute>) -> Vec<String> {
        attributes.values().map(ToString::to_string).collect()
    }

    proptest! {
        #[test]
        fn everything_fits_and_nothing_is_lost(
            said in proptest::collection::btree_map(name(), attribute(), 0..8),
            word in "[a🦀é]{0,300}",
        ) {
            let fitted = attributes(Some(&word), &said);
            for (name, attribute) in &fitted {
                prop_assert!(name.chars().count() <= NAME, "{}", name);
                let unit = attribute.unit.as_deref().unwrap_or_default();
                prop_assert!(unit.chars().count() <= UNIT, "{}", unit);
            }
            let short = run_type(Some(&word)).unwrap();
            prop_assert!(short.chars().count() <= RUN_TYPE);
            let all = texts(&fitted);
            prop_assert!(short == word || all.contains(&word));
            for (name, attribute) in &said {
                let known = fitted.get(name);
                prop_assert!(known.is_some() || all.contains(name), "{}", name);
                prop_assert!(known.is_none_or(|known| known.value == attribute.value));
                let unit = attribute.unit.clone().unwrap_or_default();
                let kept = fitted.values().any(|known| known.unit == attribute.unit);
                prop_assert!(kept || all.contains(&unit), "{}", unit);
            }
            let values = fitted.values().filter(|a| matches!(a.value, AttributeValue::Number(_)));
            prop_assert_eq!(values.count(), said.len());
            // What was fitted fits as it is: reading and recording again changes nothing.
            prop_assert_eq!(attributes(Some(&short), &fitted), fitted);
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let said = BTreeMap::from([
            ("é".repeat(NAME), Attribute::text("x".repeat(70_000))),
            (
                "HV".to_owned(),
                Attribute::number(1.0).with_unit("é".repeat(UNIT)),
            ),
        ]);
        let word = "🦀".repeat(RUN_TYPE);
        assert_eq!(attributes(Some(&word), &said), said);
        assert_eq!(run_type(Some(&word)), Some(word));
        assert_eq!(run_type(None), None);
    }

    #[test]
    fn an_attribute_of_the_daqs_own_stands() {
        let own = BTreeMap::from([("run_type.full".to_owned(), Attribute::bool(true))]);
        let word = "x".repeat(RUN_TYPE + 1);
        assert_eq!(attributes(Some(&word), &own), own);
    }

    #[test]
    fn what_is_no_trace_is_left_out() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace(Some(good)).as_deref(), Some(good));
        assert_eq!(trace(Some(&"x".repeat(1000))), None);
        assert_eq!(trace(None), None);
    }
}

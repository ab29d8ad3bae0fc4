//! Conditions as SQL with their parameters: no value of a filter stands in the text.

use aquifer_schemas::{Period, PeriodEdge};
use mysql_async::{Params, Value};

use crate::error::CatalogueError;
use crate::rows::RunFilter;
use crate::sql::{micros, time};

/// Text with a `?` for each value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Condition {
    pub(super) fn new(text: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Self {
        Self {
            text: text.into(),
            values: values.into_iter().collect(),
        }
    }

    /// This and another one.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.text.push_str(" AND ");
        self.text.push_str(&other.text);
        self.values.extend_from_slice(&other.values);
        self
    }

    /// Its values, as a query takes them.
    pub(super) fn params(&self) -> Params {
        if self.values.is_empty() {
            Params::Empty
        } else {
            Params::Positional(self.values.clone())
        }
    }
}

/// What a filter asks of the run's own row `r`.
pub(super) fn of(filter: &RunFilter) -> Result<Vec<Condition>, CatalogueError> {
    let mut all = Vec::new();
    let mut and = |text: &str, value: Option<Value>| {
        all.extend(value.map(|value| Condition::new(text, [value])));
    };
    let at = |time_of: Option<_>| {
        time_of
            .map(|at| micros("time of the filter", at))
            .transpose()
    };
    let site = filter.site.as_ref();
    and("r.site=?", site.map(|site| site.as_str().into()));
    and("r.number>=?", filter.from_number.map(Value::from));
    and("r.number<=?", filter.to_number.map(Value::from));
    and("r.taken_at>=?", at(filter.since)?.map(time));
    and("r.taken_at<?", at(filter.until)?.map(time));
    and("r.run_type=?", filter.run_type.as_deref().map(Value::from));
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(",");
        let states = filter.states.iter();
        all.push(Condition::new(
            format!("r.state IN ({marks})"),
            states.map(|state| Value::from(state.as_str())),
        ));
    }
    if let Some(of) = &filter.period {
        all.extend(period(of)?);
    }
    if let Some(cursor) = filter.before {
        let taken_at = time(micros("time of the cursor", cursor.taken_at)?);
        all.push(Condition::new(
            // The first part alone says where to begin in the index.
            "r.taken_at<=? AND (r.taken_at<? OR r.id<?)",
            [taken_at.clone(), taken_at, cursor.row.into()],
        ));
    }
    Ok(all)
}

/// As [`Period::covers`].
fn period(of: &Period) -> Result<Vec<Condition>, CatalogueError> {
    let mut all = Vec::new();
    if let Some(site) = &of.site {
        all.push(Condition::new("r.site=?", [site.as_str().into()]));
    }
    let edges = [
        (of.from, "r.number>=?", "r.taken_at>=?"),
        (of.to, "r.number<=?", "r.taken_at<?"),
    ];
    for (edge, by_number, by_time) in edges {
        all.extend(match edge {
            None => None,
            Some(PeriodEdge::Run(number)) => Some(Condition::new(by_number, [number.into()])),
            Some(PeriodEdge::At(at)) => {
                let at = time(micros("time of the period", at)?);
                Some(Condition::new(by_time, [at]))
            }
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquifer_schemas::RunState;

    #[test]
    fn values_of_a_filter_are_parameters() {
        let filter = RunFilter {
            site: Some("LNGS".parse().unwrap()),
            states: vec![RunState::Closed, RunState::Incomplete],
            from_number: Some(7),
            run_type: Some("x' OR 1=1 --".to_owned()),
            ..RunFilter::default()
        };
        let all = of(&filter).unwrap();
        let texts: Vec<_> = all.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "r.site=?",
                "r.number>=?",
                "r.run_type=?",
                "r.state IN (?,?)"
            ]
        );
        assert_eq!(all.iter().map(|one| one.values.len()).sum::<usize>(), 5);
    }
}

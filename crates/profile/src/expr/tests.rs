//! What expressions mean, that they read back, and that nothing breaks the parser.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Expr {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    text.parse::<Expr>().unwrap_err().to_string()
}

fn run() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("pedestal", Value::Bool(false)),
        ("GEM3_V", Value::Number(440.0)),
        ("run_type", Value::Text("std_long".to_owned())),
        ("HV.GEM 3", Value::Number(-1.5)),
        ("it's", Value::Text("a \"b\" 'c'".to_owned())),
    ])
}

fn holds(text: &str) -> bool {
    let run = run();
    parse(text).holds(&|name: &str| run.get(name).cloned())
}

#[test]
fn what_is_true_of_a_run_holds_and_nothing_else() {
    for text in [
        "true",
        "not false",
        "not pedestal",
        "pedestal = false",
        "pedestal = 0",
        "pedestal != 1",
        "GEM3_V = 440",
        "GEM3_V == 4.4e2",
        "GEM3_V != 1 and GEM3_V > 439.9 and GEM3_V >= 440 and GEM3_V < 441 and GEM3_V <= 440",
        "GEM3_V in (1, 440)",
        "GEM3_V not in (1, 2)",
        "run_type ~ 'std*'",
        "run_type ~ \"*_l?ng\"",
        "run_type !~ 'ped*'",
        "run_type = std_long",
        "run_type in (pedestal, std_long)",
        "'HV.GEM 3' = -1.5",
        "\"HV.GEM 3\" < +0",
        "'it''s' = 'a \"b\" ''c'''",
        "false or pedestal or GEM3_V = 440",
        // `and` binds more tightly than `or`, `not` than both.
        "true or false and false",
        "not true or true",
        "not (true and pedestal)",
    ] {
        assert!(holds(text), "{text}");
    }
    for text in [
        "false",
        "pedestal",
        "GEM3_V",
        "GEM3_V > 440",
        "(true or false) and false",
        "run_type = STD_LONG",
        "run_type ~ 'std'",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn a_test_of_what_is_not_there_or_of_another_kind_is_false() {
    for test in ["none = 1", "none != 1", "none ~ '*'", "none in (1)", "none"] {
        assert!(!holds(test), "{test}");
        assert!(holds(&format!("not {test}")), "not {test}");
    }
    for test in [
        "GEM3_V != text",
        "run_type > 3",
        "GEM3_V ~ '*'",
        "pedestal != 7",
    ] {
        assert!(!holds(test), "{test}");
    }
}

#[test]
fn an_error_says_where_and_what() {
    for (text, said) in [
        (
            "",
            "column 1: expected the name of an attribute, `not` or `(`, found the end",
        ),
        ("a = ", "column 5: expected a value, found the end"),
        (
            "a = 1 b",
            "column 7: expected `and`, `or` or the end, found `b`",
        ),
        (
            "é and and",
            "column 7: expected the name of an attribute, `not` or `(`, found `and`",
        ),
        (
            "(a = 1",
            "column 7: expected `and`, `or` or `)`, found the end",
        ),
        ("a in 1", "column 6: expected `(`, found the number 1"),
        ("a in (1,)", "column 9: expected a value, found `)`"),
        ("a in ()", "column 7: expected a value, found `)`"),
        ("a not 1", "column 7: expected `in`, found the number 1"),
        (
            "a = 'b",
            "column 5: the quote that opens here is never closed",
        ),
        (
            "a = 1V",
            "column 5: expected a number (texts that begin with a digit are quoted), found `1V`",
        ),
        (
            "a = 1e999",
            "column 5: expected a number (texts that begin with a digit are quoted), found `1e999`",
        ),
        (
            "1 = a",
            "column 1: expected the name of an attribute, `not` or `(`, found the number 1",
        ),
        (
            "a ; b",
            "column 3: expected a name, a value or an operator, found `;`",
        ),
        (
            "a ~ 3",
            "column 5: expected a pattern in quotes, such as 'std*', found the number 3",
        ),
        (
            "'' = 1",
            "column 1: expected the name of an attribute, `not` or `(`, found the text ``",
        ),
    ] {
        assert_eq!(refusal(text), said, "{text}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let deep = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    parse(&deep(DEEPEST));
    assert!(refusal(&deep(DEEPEST + 1)).starts_with("column 65: "));
    assert!(refusal(&"not ".repeat(1000)).starts_with("column 257: "));
    let long = "a or ".repeat(1000) + "a";
    assert_eq!(
        refusal(&long),
        "column 1: an expression has at most 4096 bytes"
    );
}

#[test]
fn names_and_kinds_are_checked() {
    let kinds = run();
    let kind_of = |name: &str| kinds.get(name).map(Value::kind);
    let known: Vec<_> = kinds.keys().copied().collect();
    let check = |text: &str| {
        parse(text)
            .check(&kind_of, &known)
            .map_err(|e| e.to_string())
    };
    for text in [
        "pedestal = 1",
        "pedestal",
        "GEM3_V > 3",
        "run_type in (a, b)",
        "true",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
    for (text, said) in [
        (
            "true and GEM2_V = 1",
            "column 10: `GEM2_V` is not known here; did you mean `GEM3_V`?",
        ),
        ("nothing", "column 1: `nothing` is not known here"),
        (
            "pedestal = 2",
            "column 1: `pedestal` is a bool, and 2.0 is a number",
        ),
        (
            "pedestal > 0",
            "column 1: `pedestal` is a bool, and flags have no order",
        ),
        (
            "GEM3_V = high",
            "column 1: `GEM3_V` is a number, and 'high' is a text",
        ),
        (
            "GEM3_V",
            "column 1: `GEM3_V` is a number, and true is a bool",
        ),
        (
            "not (GEM3_V ~ '4*')",
            "column 6: `GEM3_V` is a number, and only texts match patterns",
        ),
        (
            "run_type in (a, 3)",
            "column 1: `run_type` is a text, and 3.0 is a number",
        ),
    ] {
        assert_eq!(check(text), Err(said.to_owned()), "{text}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        prop::num::f64::NORMAL.prop_map(Value::Number),
        (-5..5i32).prop_map(|number| Value::Number(f64::from(number))),
        "\\PC{0,6}".prop_map(Value::Text),
    ]
}

fn any_test() -> impl Strategy<Value = Expr> {
    let operator = prop::sample::select(vec![
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::AtMost,
        Operator::Greater,
        Operator::AtLeast,
    ]);
    let predicate = prop_oneof![
        (operator, any_value()).prop_map(|(operator, value)| Predicate::Compare(operator, value)),
        prop::collection::vec(any_value(), 1..4).prop_map(Predicate::In),
        "[a*?é']{0,6}".prop_map(|text| Predicate::Like(Pattern::new(text))),
    ];
    let name = prop_oneof!["[a-c]", "\\PC{1,6}", "and|or|not|in|true"];
    (name, predicate).prop_map(|(text, predicate)| {
        let name = Name { text, column: 0 };
        Expr::Test(Test { name, predicate })
    })
}

fn any_expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![any::<bool>().prop_map(Expr::Always), any_test()];
    leaf.prop_recursive(4, 24, 3, |inner| {
        // A part of the same sort would be one with its whole when it is read back.
        let no_all = inner
            .clone()
            .prop_filter("flat", |e| !matches!(e, Expr::All(_)));
        let no_any = inner
            .clone()
            .prop_filter("flat", |e| !matches!(e, Expr::Any(_)));
        prop_oneof![
            inner.prop_map(|expr| Expr::Not(Box::new(expr))),
            prop::collection::vec(no_all, 2..4).prop_map(Expr::All),
            prop::collection::vec(no_any, 2..4).prop_map(Expr::Any),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(expr in any_expr()) {
        let text = expr.to_string();
        prop_assume!(text.len() <= LONGEST);
        prop_assert_eq!(text.parse::<Expr>(), Ok(expr), "{}", text);
    }

    #[test]
    fn any_text_is_an_expression_or_an_error_within_it(text in "\\PC{0,40}") {
        if let Err(error) = text.parse::<Expr>() {
            let said = error.to_string();
            let column: usize = said["column ".len()..].split(':').next().unwrap().parse().unwrap();
            prop_assert!((1..=text.chars().count() + 1).contains(&column), "{}", said);
        }
    }

    #[test]
    fn words_in_any_order_are_an_expression_or_an_error(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "and", "or", "not", "in", "(", ")", ",", "=", "!=", "~", "a", "'b'", "1", "true",
            ]),
            0..30,
        ),
    ) {
        let text = words.join(" ");
        if let Ok(expr) = text.parse::<Expr>() {
            // Total, and the same for what was written again.
            let value_of = |name: &str| (name == "a").then_some(Value::Number(1.0));
            let again: Expr = expr.to_string().parse().unwrap();
            prop_assert_eq!(expr.holds(&value_of), again.holds(&value_of));
        }
    }

    #[test]
    fn not_is_the_opposite_and_the_rules_of_de_morgan_hold(
        a in any_expr(), b in any_expr(), value in any_value(),
    ) {
        let value_of = |name: &str| (name == "a").then(|| value.clone());
        let holds = |expr: &Expr| expr.holds(&value_of);
        let not = |expr: &Expr| Expr::Not(Box::new(expr.clone()));
        prop_assert_eq!(holds(&not(&a)), !holds(&a));
        let neither = Expr::All(vec![not(&a), not(&b)]);
        prop_assert_eq!(holds(&neither), !holds(&Expr::Any(vec![a, b])));
    }

    #[test]
    fn a_pattern_matches_what_it_was_made_of(
        parts in prop::collection::vec("[ab*?]{0,3}", 1..5), between in "[ab]{0,3}",
    ) {
        let text = parts.join(&between);
        prop_assert!(Pattern::new(parts.join("*")).matches(&text));
        prop_assert!(Pattern::new(text.clone()).matches(&text));
        prop_assert!(Pattern::new("?".repeat(text.len())).matches(&text));
        prop_assert!(!Pattern::new("?".repeat(text.len() + 1)).matches(&text));
        prop_assert!(!Pattern::new(text.clone() + "c").matches(&text));
    }

    #[test]
    fn a_pattern_agrees_with_the_plain_recursion(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (Some((b'*', rest)), _) => {
                    slow(rest, text) || text.split_first().is_some_and(|(_, text)| slow(pattern, text))
                }
                (Some((p, pattern)), Some((t, text))) if *p == b'?' || p == t => slow(pattern, text),
                _ => false,
            }
        }
        let expected = slow(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(Pattern::new(pattern).matches(&text), expected);
    }
}

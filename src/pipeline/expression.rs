//! `when` expressions over the names of a status.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::Environment;
use minijinja::machinery::ast::{BinOpKind, Expr, UnaryOpKind};
use minijinja::machinery::parse_expr;

use super::scope::{Scope, language, lookup, mistake, one_line, status_samples};
use super::syntax::{Spelling, text};
use super::types::{self, Findings, Word};
use super::{States, nearest};
use crate::model::columns::KIND;
use crate::model::{Event, EventKind, Severity, StatusEvent};

/// More words that a column can hold are not listed.
const WORDS_SHOWN_MAX: usize = 10;

/// A compiled `when`: true for the statuses that a sink wants.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
    scope: Scope,
    words: Arc<[Word]>,
    /// It uses nothing of the event.
    constant: Option<bool>,
}

/// The language of all expressions; nothing is ever added to it.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(language);

/// Compares the written text.
impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.source == other.source
    }
}

impl Expression {
    /// Compiles an expression such as `changed and severity == 'critical'`. Severities have the order
    /// ok < info < warning < critical; no comparison with one that is unknown holds.
    ///
    /// # Errors
    /// A text for the user: where it does not parse, the unknown variable with the nearest known
    /// name, or the comparison that can never hold.
    pub fn parse(source: &str) -> Result<Expression, String> {
        let ordered = spelled(source, Spelling::Ordered)?;
        let compiled = LANGUAGE
            .compile_expression_owned(ordered)
            .map_err(|error| one_line(&error))?;
        let scope = Scope::of_statuses(compiled.undeclared_variables(false), &LANGUAGE)?;
        let Findings { mistakes, words } = types::of_condition(source);
        if !mistakes.is_empty() {
            return Err(mistakes.join("; "));
        }
        for sample in status_samples() {
            let mistake = compiled
                .eval(scope.status_context(&sample))
                .err()
                .and_then(|error| mistake(&error));
            mistake.map_or(Ok(()), Err)?;
        }
        let compiled = Arc::new(compiled);
        let mut expression = Expression {
            source: Arc::from(source),
            compiled,
            scope,
            words: words.into(),
            constant: None,
        };
        if expression.scope.is_empty() {
            expression.constant = expression.holds(&StatusEvent::sample()).ok();
        }
        Ok(expression)
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it says of every status, where it uses nothing of one: then none needs to be decoded
    /// for it.
    pub fn constant(&self) -> Option<bool> {
        self.constant
    }

    /// What it compares with words that the vocabulary does not have: one text for each.
    pub fn doubts(&self, vocabulary: &Vocabulary<'_>) -> Vec<String> {
        vocabulary.doubts(&self.words)
    }

    /// Whether the status is wanted.
    ///
    /// # Errors
    /// What failed in evaluating it, such as adding a number to a text.
    pub fn holds(&self, status: &StatusEvent) -> Result<bool, String> {
        let value = self
            .compiled
            .eval(self.scope.status_context(status))
            .map_err(|error| one_line(&error))?;
        Ok(value.is_true())
    }

    /// The part of it that decides on the status: the first operand of `and` that does not hold, or
    /// of `or` that does.
    ///
    /// # Errors
    /// As in [`Expression::holds`].
    pub fn decision(&self, status: &StatusEvent) -> Result<Decision, String> {
        let tree = parse_expr(&self.source).map_err(|error| one_line(&error))?;
        let (part, _) = self.decisive(&tree, status)?;
        let names = parsed(&text(part, Spelling::Written))?.undeclared_variables(false);
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        let event = Event::from(status.clone());
        let values = names.into_iter().filter_map(|name| {
            let value = lookup(&event, &name)?;
            let json = serde_json::to_value(value).ok()?;
            Some((name, json))
        });
        Ok(Decision {
            holds: self.holds(status)?,
            part: text(part, Spelling::Written),
            values: values.collect(),
        })
    }

    /// The part that decides, and whether that part holds.
    fn decisive<'e>(
        &self,
        tree: &'e Expr<'e>,
        status: &StatusEvent,
    ) -> Result<(&'e Expr<'e>, bool), String> {
        match tree {
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => {
                let (part, holds) = self.decisive(&unary.expr, status)?;
                // Of a comparison the whole says more: `not in`.
                let is_whole = std::ptr::eq(part, &raw const unary.expr);
                Ok((if is_whole { tree } else { part }, !holds))
            }
            Expr::BinOp(binary) if matches!(binary.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                let left = self.decisive(&binary.left, status)?;
                if left.1 == matches!(binary.op, BinOpKind::ScOr) {
                    return Ok(left);
                }
                let right = self.decisive(&binary.right, status)?;
                // Where all of them have to agree, the whole decides.
                let is_all = right.1 != matches!(binary.op, BinOpKind::ScOr);
                Ok(if is_all { (tree, right.1) } else { right })
            }
            part => {
                let value = parsed(&text(part, Spelling::Ordered))?
                    .eval(self.scope.status_context(status))
                    .map_err(|error| one_line(&error))?;
                Ok((part, value.is_true()))
            }
        }
    }
}

/// What decided on a status.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The status is wanted.
    pub holds: bool,
    /// The part of the expression.
    pub part: String,
    /// The columns that the part uses, and what they hold.
    pub values: Vec<(String, serde_json::Value)>,
}

/// The words that columns can hold.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary<'a> {
    /// Those of `[states]`.
    pub states: &'a States,
    /// The names of all topics.
    pub topics: &'a [&'a str],
}

impl Vocabulary<'_> {
    /// One text for each word that is not known.
    pub(super) fn doubts(&self, words: &[Word]) -> Vec<String> {
        words.iter().filter_map(|word| self.doubt(word)).collect()
    }

    /// What is to be said of a word; `None`: it is known.
    fn doubt(&self, Word { column, word }: &Word) -> Option<String> {
        let names = self.states.names();
        if matches!(*column, "old_state" | "new_state") {
            // Any word may come; but hardly the name that is given to another one.
            let is_name = names.contains(&word.as_str()) && !self.states.knows(word);
            return is_name.then(|| {
                format!(
                    "{column} holds the platform's own words, and '{word}' is a name that [states] \
                     gives: compare state with '{word}'"
                )
            });
        }
        let known: Vec<&str> = match *column {
            "state" => names,
            "topic" => self.topics.to_vec(),
            KIND => EventKind::ALL.map(EventKind::as_str).to_vec(),
            _ => Severity::ALL.map(Severity::as_str).to_vec(),
        };
        if known.contains(&word.as_str()) {
            return None;
        }
        let said = match *column {
            // One that [states] does not have keeps the platform's own word.
            "state" => format!("[states] gives no name '{word}'"),
            _ => format!("there is no {column} '{word}'"),
        };
        if let (&"state", Some(state)) = (column, self.states.words.get(word.trim())) {
            let name = &state.name;
            return Some(format!(
                "[states] calls '{word}' by the name '{name}': compare state with '{name}', or new_state \
                 with '{word}'"
            ));
        }
        let meant = match nearest(word, known.iter().copied()) {
            Some(near) => format!(", did you mean '{near}'?"),
            None if known.is_empty() => String::new(),
            None => format!(": expected one of {}", first_few(&known)),
        };
        Some(said + &meant)
    }
}

/// The first few words of many.
fn first_few(words: &[&str]) -> String {
    let few = words.iter().take(WORDS_SHOWN_MAX).copied();
    let mut few = few.collect::<Vec<_>>().join(", ");
    if words.len() > WORDS_SHOWN_MAX {
        few.push_str(", …");
    }
    few
}

fn parsed(source: &str) -> Result<minijinja::Expression<'static, 'static>, String> {
    let compiled = LANGUAGE.compile_expression_owned(source.to_owned());
    compiled.map_err(|error| one_line(&error))
}

/// The text of an expression in that spelling.
fn spelled(source: &str, spelling: Spelling) -> Result<String, String> {
    let tree = parse_expr(source).map_err(|error| {
        let hint = foreign_operator(source).map(|hint| format!(": {hint}"));
        one_line(&error) + &hint.unwrap_or_default()
    })?;
    Ok(text(&tree, spelling))
}

/// What to write in place of an operator of another language.
pub(super) fn foreign_operator(source: &str) -> Option<&'static str> {
    // Between quotes anything may stand.
    let outside: String = source.split(['\'', '"']).step_by(2).collect();
    let bare = ["==", "!=", "<=", ">="].iter();
    let bare = bare.fold(outside.clone(), |text, op| text.replace(op, ""));
    if outside.contains("&&") {
        Some("write `and` in place of `&&`")
    } else if outside.contains("||") {
        Some("write `or` in place of `||`")
    } else if bare.contains('=') {
        Some("two values are compared by `==`")
    } else if bare.contains('!') {
        Some("write `not` in place of `!`")
    } else {
        None
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::State;

    #[test]
    fn expressions_hold_for_the_events_that_they_describe() {
        let [fault, normal] = status_samples();
        for (source, expected) in [
            ("changed and severity == 'critical'", [true, false]),
            ("not changed", [false, true]),
            ("severity in ['ok', 'info']", [false, true]),
            ("device_id|int > 5", [false, false]),
            ("province == '江苏省'", [false, false]),
            ("province is none", [true, true]),
            ("new_state == '故障'", [true, true]),
            ("payload.temperature is defined", [false, false]),
            ("payload.a.b.c == 1", [false, false]),
            ("longitude > 100", [false, false]),
            ("severity >= 'warning'", [true, false]),
            ("severity < 'critical'", [false, true]),
            ("'ok' < severity <= 'critical'", [true, false]),
            ("severity is ge('warning')", [true, false]),
            // Nothing is in a text that is absent.
            ("'江苏' in province or '障' in new_state", [true, true]),
            ("'江苏' not in province", [true, true]),
            ("device_id|urlencode == '1'", [true, true]),
        ] {
            let expression =
                Expression::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
            assert_eq!(
                [&fault, &normal].map(|event| expression.holds(event).unwrap()),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn unknown_severity_has_no_place_in_the_order() {
        let unknown = StatusEvent {
            severity: Severity::Unknown,
            ..StatusEvent::sample()
        };
        for source in [
            "severity < 'critical'",
            "severity >= 'ok'",
            "severity > 'ok'",
        ] {
            assert_eq!(
                Expression::parse(source).unwrap().holds(&unknown),
                Ok(false)
            );
        }
        let unknown_alone = Expression::parse("severity == 'unknown'").unwrap();
        assert_eq!(unknown_alone.holds(&unknown), Ok(true));
    }

    #[test]
    fn part_that_decides_is_named_with_what_it_uses() {
        let check = |source: &str, part: &str, values: &str| {
            let [_, normal] = status_samples();
            let expression = Expression::parse(source).unwrap();
            let decision = expression.decision(&normal).unwrap();
            let found: Vec<String> = decision
                .values
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(
                (&*decision.part, &*found.join(" ")),
                (part, values),
                "{source}"
            );
            assert_eq!(
                decision.holds,
                expression.holds(&normal).unwrap(),
                "{source}"
            );
        };
        check(
            "changed and severity == 'critical'",
            "changed",
            "changed=false",
        );
        check(
            "state == 'fault' and severity >= 'warning'",
            "severity >= 'warning'",
            "severity=\"ok\"",
        );
        check(
            "changed or severity == 'ok'",
            "severity == 'ok'",
            "severity=\"ok\"",
        );
        let neither = "changed or severity == 'critical'";
        check(neither, neither, "changed=false severity=\"ok\"");
        check(
            "not (changed or state == 'fault')",
            "state == 'fault'",
            "state=\"fault\"",
        );
        check(
            "state not in ['fault']",
            "not (state in ['fault'])",
            "state=\"fault\"",
        );
        check("1 > 2", "1 > 2", "");
    }

    #[test]
    fn words_that_no_status_has_are_doubted() {
        let fault = State {
            name: "fault".to_owned(),
            severity: Severity::Critical,
        };
        let states = States {
            words: [("故障".to_owned(), fault)].into(),
        };
        let vocabulary = Vocabulary {
            states: &states,
            topics: &["map-1", "map-2"],
        };
        for (source, expected) in [
            (
                "severity == 'crtical'",
                "there is no severity 'crtical', did you mean 'critical'?",
            ),
            (
                "state == '故障'",
                "[states] calls '故障' by the name 'fault': compare state with 'fault', \
                 or new_state with '故障'",
            ),
            (
                "state in ['fault', 'falt']",
                "[states] gives no name 'falt', did you mean 'fault'?",
            ),
            (
                "state in ('fault', 'falt') or state is in(('falt', 'fautl'))",
                "[states] gives no name 'falt', did you mean 'fault'?; [states] gives no name 'fautl', did you mean 'fault'?",
            ),
            (
                "new_state == 'fault' or old_state == '着火' or new_state != '故障'",
                "new_state holds the platform's own words, and 'fault' is a name that [states] \
                 gives: compare state with 'fault'",
            ),
            (
                "topic == 'other'",
                "there is no topic 'other': expected one of map-1, map-2",
            ),
            (
                "state == 'fault' and topic != 'map-1' and severity != 'unknown'",
                "",
            ),
        ] {
            let doubts = Expression::parse(source).unwrap().doubts(&vocabulary);
            assert_eq!(doubts.join("; "), expected, "{source}");
        }
    }

    #[test]
    fn what_uses_no_event_is_known_beforehand() {
        for (source, expected) in [
            ("false", Some(false)),
            ("1 > 0", Some(true)),
            ("changed", None),
            ("changed and false", None),
            ("'a' + 1 == 2", None),
        ] {
            assert_eq!(
                Expression::parse(source).unwrap().constant(),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn a_mistake_is_found_when_it_is_compiled() {
        for (source, expected) in [
            ("severty == 'critical'", "did you mean `severity`?"),
            (
                "temperature > 5",
                "unknown variable `temperature`, expected one of event_id",
            ),
            ("changed and", "unexpected end"),
            ("changed = true", "at character 9"),
            ("", "unexpected end"),
            ("changed|nonsense", "unknown filter"),
            ("secret('x') == 'y'", "not for templates of events"),
            ("signin.token == ''", "`signin` is for the source"),
            ("topic.startswith('x')", "unknown method"),
            ("changed && severity == 'x'", "write `and` in place of `&&`"),
            ("changed = true", "two values are compared by `==`"),
            ("!changed", "write `not` in place of `!`"),
            (
                "device_id == 3 and changed == 'x'",
                "write '3'; `changed` is true or false",
            ),
        ] {
            let error = Expression::parse(source).expect_err(source);
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn an_endless_expression_runs_out_of_fuel() {
        let long = format!(
            "range(99999){} is iterable",
            "|map('string')|list".repeat(20)
        );
        let error = Expression::parse(&long).unwrap_err();
        assert!(error.contains("steps"), "{error}");
    }
}

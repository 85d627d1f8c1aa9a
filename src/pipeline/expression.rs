//! `when` expressions over the names of a status.

use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::Environment;

use super::scope::{Scope, language, mistake, one_line, status_samples};
use crate::model::StatusEvent;

/// A compiled `when`: true for the statuses that a sink wants.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
    scope: Scope,
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
    /// Compiles an expression such as `changed and severity == 'critical'`.
    ///
    /// # Errors
    /// A text for the user: where it does not parse, or the unknown variable with the nearest known
    /// name.
    pub fn parse(source: &str) -> Result<Expression, String> {
        let compiled = LANGUAGE
            .compile_expression_owned(source.to_owned())
            .map_err(|error| one_line(&error))?;
        let scope = Scope::of_statuses(compiled.undeclared_variables(false), &LANGUAGE)?;
        for sample in status_samples() {
            let mistake = compiled
                .eval(scope.status_context(&sample)?)
                .err()
                .and_then(|error| mistake(&error));
            mistake.map_or(Ok(()), Err)?;
        }
        let compiled = Arc::new(compiled);
        let mut expression = Expression {
            source: Arc::from(source),
            compiled,
            scope,
            constant: None,
        };
        if expression.scope.is_empty() {
            expression.constant = expression.holds(&StatusEvent::sample()).ok();
        }
        Ok(expression)
    }

    /// What it says of every status, where it uses nothing of one: then none needs to be decoded
    /// for it.
    pub fn constant(&self) -> Option<bool> {
        self.constant
    }

    /// Whether the status is wanted.
    ///
    /// # Errors
    /// What failed in evaluating it, such as adding a number to a text.
    pub fn holds(&self, status: &StatusEvent) -> Result<bool, String> {
        let value = self
            .compiled
            .eval(self.scope.status_context(status)?)
            .map_err(|error| one_line(&error))?;
        Ok(value.is_true())
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

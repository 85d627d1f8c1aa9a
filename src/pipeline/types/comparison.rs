//! What is compared with what: whether it can ever be equal, and what to write in its place.

use minijinja::machinery::ast::Expr;
use minijinja::value::Value;

use super::operand::Type;
use super::{Checker, Source, Word};
use crate::model::Severity;
use crate::model::columns::KIND;
use crate::pipeline::nearest;
use crate::pipeline::syntax::{
    Comparison, SEVERITY, Spelling, constant, literal, ranked, severities, text,
};

/// The columns whose words come from a vocabulary.
const WORDS: [&str; 6] = ["state", SEVERITY, "topic", "old_state", "new_state", KIND];

impl Checker {
    pub(super) fn comparison(&mut self, left: &Expr<'_>, op: Comparison, right: &Expr<'_>) -> Type {
        let types = (self.type_of(left), self.type_of(right));
        let columns = [left, right].map(|operand| self.names.column(operand));
        let is_severity = columns.contains(&Some(SEVERITY));
        match op {
            Comparison::In | Comparison::NotIn => self.membership(left, right, types),
            _ if op.is_order() && is_severity => self.order(left, op, right),
            _ => self.equality(left, right, types),
        }
        Type::Boolean
    }

    /// One of several values, or a part of a text.
    fn membership(&mut self, left: &Expr<'_>, right: &Expr<'_>, types: (Type, Type)) {
        let items = match right {
            Expr::List(list) => &list.items,
            Expr::Tuple(tuple) => &tuple.items,
            Expr::Map(map) => &map.keys,
            _ => return self.part(left, right, types.1),
        };
        for item in items {
            let types = (types.0, self.type_of(item));
            self.equality(left, item, types);
        }
    }

    /// A part of a text, or an item of a list that the payload has.
    fn part(&mut self, left: &Expr<'_>, right: &Expr<'_>, whole: Type) {
        let [shown, whole_shown] = [left, right].map(|it| text(it, Spelling::Written));
        match (constant(right), whole) {
            (Some(words), _) if left.as_const().is_none() => {
                let words = words.split(',').map(|word| literal(&word.trim().into()));
                let words = words.collect::<Vec<_>>().join(", ");
                self.mistake(format!(
                    "`{shown} in {whole_shown}` asks whether {shown} is a part of that text: \
                     write a list, {shown} in [{words}]"
                ));
            }
            (_, Type::Number | Type::Boolean) => self.mistake(format!(
                "`{whole_shown}` is {}, so nothing can be in it",
                whole.in_words()
            )),
            _ => {}
        }
    }

    /// Two values that are equal or not, or of which one is more.
    fn equality(&mut self, left: &Expr<'_>, right: &Expr<'_>, types: (Type, Type)) {
        let column = |operand: &Expr<'_>| {
            let name = self.names.column(operand)?;
            WORDS.into_iter().find(|word| *word == name)
        };
        let sides = [
            (column(left), constant(right)),
            (column(right), constant(left)),
        ];
        for (column, word) in sides {
            if let (Some(column), Some(word)) = (column, word) {
                let word = word.to_owned();
                let word = Word { column, word };
                if !self.findings.words.contains(&word) {
                    self.findings.words.push(word);
                }
            }
        }
        match types {
            (Type::Any, _) | (_, Type::Any) => {}
            (left, right) if left == right => {}
            _ => self.mismatch(left, right, types),
        }
    }

    fn mismatch(&mut self, left: &Expr<'_>, right: &Expr<'_>, types: (Type, Type)) {
        // The constant second, whichever way it is written.
        let is_constant = |operand: &Expr<'_>| operand.as_const().is_some();
        let ((value, is), (other, is_not)) = if is_constant(left) {
            ((right, types.1), (left, types.0))
        } else {
            ((left, types.0), (right, types.1))
        };
        let [shown, other_shown] = [value, other].map(|it| text(it, Spelling::Written));
        let hint = match (is, other.as_const()) {
            _ if is == Type::Encoded || is_not == Type::Encoded => {
                let hint = "leave `urlencode` out where two values are compared";
                Some(hint.to_owned())
            }
            _ if is_not == Type::List => Some(format!("write {shown} in {other_shown}")),
            _ if is == Type::List => Some(format!("write {other_shown} in {shown}")),
            (Type::Boolean, _) => Some(format!("write {shown} or not {shown}")),
            (Type::Text, Some(constant)) => {
                let word = literal(&Value::from(literal(&constant)));
                Some(format!("write {word}"))
            }
            (Type::Number, Some(constant)) => {
                let number = constant.to_string();
                let parsed = number.parse::<f64>().ok();
                parsed.map(|_| format!("write {number}"))
            }
            _ => None,
        };
        let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
        let (is, is_not) = (is.in_words(), is_not.in_words());
        self.mistake(format!(
            "`{shown}` is {is} and `{other_shown}` is {is_not}, so they are never equal{hint}"
        ));
    }

    /// One severity against another.
    fn order(&mut self, left: &Expr<'_>, op: Comparison, right: &Expr<'_>) {
        let words = || Severity::RANKED.map(Severity::as_str).join(" < ");
        let (other, op) = match self.names.column(left) {
            Some(SEVERITY) => (right, op),
            _ => (left, op.turned()),
        };
        let Some(word) = constant(other) else {
            let other = text(other, Spelling::Written);
            return self.mistake(format!("`{other}` is no severity: they are {}", words()));
        };
        if ranked(word).is_none() {
            let known = Severity::RANKED.map(Severity::as_str);
            let meant = nearest(word, known).map(|near| format!(", did you mean '{near}'?"));
            let meant = meant.unwrap_or_else(|| format!(": they are {}", words()));
            return self.mistake(format!("'{word}' has no place among the severities{meant}"));
        }
        let held = severities(op, word).unwrap_or_default();
        let held: Vec<String> = held.into_iter().map(|word| format!("'{word}'")).collect();
        match (self.source, held.len()) {
            (_, 0) => self.mistake(format!(
                "no severity is beyond '{word}': they are {}",
                words()
            )),
            (Source::Condition | Source::Raw, _) => {}
            (Source::Template | Source::List, _) => self.mistake(format!(
                "a template compares severities as texts: write severity in [{}]",
                held.join(", ")
            )),
        }
    }
}

//! What an expression compares with what: mistakes that would make it hold for nothing, or for
//! everything, whatever comes. It evaluates nothing.

use std::collections::HashSet;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt, UnaryOpKind};
use minijinja::machinery::{parse, parse_expr};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind};

use super::nearest;
use super::scope::language;
use super::syntax::{
    Comparison, SEVERITY, Spelling, constant, literal, name, ranked, severities, text,
};
use crate::model::columns::{COVERAGE, STATUS};
use crate::model::{ColumnKind, Severity};

/// The columns whose words come from a vocabulary.
const WORDS: [&str; 5] = ["state", SEVERITY, "topic", "old_state", "new_state"];

/// The language's filters, of which a mistyped one may be meant.
const FILTERS: [&str; 37] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "chain",
    "count",
    "default",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "replace",
    "reverse",
    "round",
    "select",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "upper",
    "urlencode",
];

/// Its tests, likewise.
const TESTS: [&str; 12] = [
    "boolean", "defined", "even", "false", "integer", "iterable", "mapping", "none", "number",
    "odd", "sequence", "string",
];

/// A word that a text compares a column with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) column: &'static str,
    pub(super) word: String,
}

/// What is to be said of a text.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// One text for each comparison that cannot be right.
    pub(super) mistakes: Vec<String>,
    pub(super) words: Vec<Word>,
}

/// That of a condition. One that does not parse has none: its compiler says so.
pub(super) fn of_condition(source: &str) -> Findings {
    let mut checker = Checker::new(Source::Condition);
    if let Ok(expression) = parse_expr(source) {
        checker.condition(&expression);
    }
    checker.findings
}

/// That of a condition over a message's own object, which may have any name.
pub(super) fn of_raw_condition(source: &str) -> Findings {
    let mut checker = Checker::new(Source::Raw);
    if let Ok(expression) = parse_expr(source) {
        checker.condition(&expression);
    }
    checker.findings
}

/// That of a template, likewise.
pub(super) fn of_template(source: &str) -> Findings {
    let mut checker = Checker::new(Source::Template);
    if let Ok(template) = parse(source, "template", Default::default()) {
        checker.locals(&template);
        checker.statement(&template);
    }
    checker.findings
}

/// What text an expression is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It is evaluated with severities in their order.
    Condition,
    /// It is evaluated as it is written.
    Template,
    /// Its names are a message's own.
    Raw,
}

/// What an operand is, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Boolean,
    Any,
}

impl Type {
    fn of<Row>(kind: &ColumnKind<Row>) -> Type {
        match kind {
            ColumnKind::Word(_) | ColumnKind::Text(_) | ColumnKind::Time(_) => Type::Text,
            ColumnKind::Number(_) => Type::Number,
            ColumnKind::Boolean(_) => Type::Boolean,
            ColumnKind::Json(_) => Type::Any,
        }
    }

    fn of_value(value: &Value) -> Type {
        match value.kind() {
            ValueKind::String => Type::Text,
            ValueKind::Number => Type::Number,
            ValueKind::Bool => Type::Boolean,
            _ => Type::Any,
        }
    }

    /// What a filter of that name gives.
    fn of_filter(name: &str) -> Type {
        match name {
            "int" | "float" | "length" | "count" | "abs" | "round" => Type::Number,
            "lower" | "upper" | "title" | "trim" | "replace" | "string" | "join" | "urlencode" => {
                Type::Text
            }
            "bool" => Type::Boolean,
            _ => Type::Any,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Type::Text => "a text",
            Type::Number => "a number",
            Type::Boolean => "true or false",
            Type::Any => "anything",
        }
    }
}

struct Checker {
    source: Source,
    language: Environment<'static>,
    /// Names that the text gives to something itself.
    locals: HashSet<String>,
    findings: Findings,
}

impl Checker {
    fn new(source: Source) -> Checker {
        Checker {
            source,
            language: language(),
            locals: HashSet::new(),
            findings: Findings::default(),
        }
    }

    fn mistake(&mut self, mistake: String) {
        if !self.findings.mistakes.contains(&mistake) {
            self.findings.mistakes.push(mistake);
        }
    }

    /// Notes the names that a template gives itself: they hide the columns.
    fn locals(&mut self, statement: &Stmt<'_>) {
        let (targets, bodies): (Vec<&Expr<'_>>, Vec<&[Stmt<'_>]>) = match statement {
            Stmt::Template(template) => (vec![], vec![&template.children]),
            Stmt::ForLoop(each) => (vec![&each.target], vec![&each.body, &each.else_body]),
            Stmt::IfCond(choice) => (vec![], vec![&choice.true_body, &choice.false_body]),
            Stmt::WithBlock(with) => {
                let targets = with.assignments.iter().map(|(target, _)| target);
                (targets.collect(), vec![&with.body])
            }
            Stmt::Set(set) => (vec![&set.target], vec![]),
            Stmt::SetBlock(set) => (vec![&set.target], vec![&set.body]),
            Stmt::AutoEscape(escape) => (vec![], vec![&escape.body]),
            Stmt::FilterBlock(filter) => (vec![], vec![&filter.body]),
            _ => (vec![], vec![]),
        };
        for target in targets {
            let items = match target {
                Expr::List(list) => &list.items[..],
                Expr::Tuple(tuple) => &tuple.items[..],
                one => std::slice::from_ref(one),
            };
            let names = items.iter().filter_map(name).map(str::to_owned);
            self.locals.extend(names);
        }
        bodies.into_iter().flatten().for_each(|it| self.locals(it));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        let (expressions, bodies): (Vec<&Expr<'_>>, Vec<&[Stmt<'_>]>) = match statement {
            Stmt::Template(template) => (vec![], vec![&template.children]),
            Stmt::EmitExpr(emit) => (vec![&emit.expr], vec![]),
            Stmt::ForLoop(each) => {
                let mut expressions = vec![&each.iter];
                expressions.extend(&each.filter_expr);
                (expressions, vec![&each.body, &each.else_body])
            }
            Stmt::IfCond(choice) => {
                let bodies: Vec<&[Stmt<'_>]> = vec![&choice.true_body, &choice.false_body];
                (vec![&choice.expr], bodies)
            }
            Stmt::WithBlock(with) => {
                let values = with.assignments.iter().map(|(_, value)| value);
                (values.collect(), vec![&with.body])
            }
            Stmt::Set(set) => (vec![&set.expr], vec![]),
            Stmt::SetBlock(set) => (set.filter.iter().collect(), vec![&set.body]),
            Stmt::AutoEscape(escape) => (vec![], vec![&escape.body]),
            Stmt::FilterBlock(filter) => (vec![&filter.filter], vec![&filter.body]),
            _ => (vec![], vec![]),
        };
        for expression in expressions {
            self.type_of(expression);
        }
        bodies
            .into_iter()
            .flatten()
            .for_each(|it| self.statement(it));
    }

    /// Something that is to be true or false.
    fn condition(&mut self, expression: &Expr<'_>) {
        match expression {
            Expr::BinOp(binary) if matches!(binary.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                self.condition(&binary.left);
                self.condition(&binary.right);
            }
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOpKind::Not) => {
                self.condition(&unary.expr);
            }
            Expr::Const(constant) if constant.value.kind() == ValueKind::String => {
                let word = literal(&constant.value);
                self.mistake(format!(
                    "{word} alone is true for every status: compare it with a column, as in \
                     severity in ['critical', 'warning']"
                ));
            }
            _ => self.all([expression]),
        }
    }

    fn all<'e, 's: 'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr<'s>>) {
        for expression in expressions {
            self.type_of(expression);
        }
    }

    /// What an operand is; checks what it is made of.
    fn type_of(&mut self, expression: &Expr<'_>) -> Type {
        match expression {
            Expr::Var(variable) => self.type_of_name(variable.id),
            Expr::Const(constant) => Type::of_value(&constant.value),
            Expr::UnaryOp(unary) => {
                self.type_of(&unary.expr);
                match unary.op {
                    UnaryOpKind::Not => Type::Boolean,
                    UnaryOpKind::Neg => Type::Number,
                }
            }
            Expr::BinOp(binary) => match Comparison::of(binary.op) {
                Some(op) => self.comparison(&binary.left, op, &binary.right),
                None => self.binary(&binary.left, binary.op, &binary.right),
            },
            Expr::Compare(chain) => {
                let lefts = std::iter::once(&chain.expr).chain(chain.ops.iter().map(|op| &op.expr));
                for (left, link) in lefts.zip(&chain.ops) {
                    self.comparison(left, Comparison::of_chain(link.op), &link.expr);
                }
                Type::Boolean
            }
            Expr::IfExpr(choice) => {
                self.type_of(&choice.test_expr);
                self.type_of(&choice.true_expr);
                self.all(&choice.false_expr);
                Type::Any
            }
            Expr::Filter(filter) => {
                self.all(&filter.expr);
                self.arguments(&filter.args);
                self.known(
                    filter.name,
                    "filter",
                    &format!("none|{}", filter.name),
                    &FILTERS,
                );
                Type::of_filter(filter.name)
            }
            Expr::Test(test) => {
                self.type_of(&test.expr);
                self.arguments(&test.args);
                self.known(test.name, "test", &format!("none is {}", test.name), &TESTS);
                Type::Boolean
            }
            Expr::GetAttr(attribute) => {
                self.type_of(&attribute.expr);
                Type::Any
            }
            Expr::GetItem(item) => {
                self.type_of(&item.expr);
                self.type_of(&item.subscript_expr);
                Type::Any
            }
            Expr::Slice(slice) => {
                self.type_of(&slice.expr);
                Type::Any
            }
            Expr::Call(call) => {
                self.type_of(&call.expr);
                self.arguments(&call.args);
                Type::Any
            }
            Expr::List(list) => {
                self.all(&list.items);
                Type::Any
            }
            Expr::Tuple(tuple) => {
                self.all(&tuple.items);
                Type::Any
            }
            Expr::Map(map) => {
                self.all(&map.values);
                Type::Any
            }
        }
    }

    /// Checks the name of a filter or a test by a use of it, which is reached in any case.
    fn known(&mut self, name: &str, what: &str, example: &str, all: &[&'static str]) {
        let compiled = self.language.compile_expression(example);
        let error = compiled.and_then(|example| example.eval(())).err();
        let kind = error.map(|error| error.kind());
        if !matches!(
            kind,
            Some(ErrorKind::UnknownFilter | ErrorKind::UnknownTest)
        ) {
            return;
        }
        let meant = nearest(name, all.iter().copied());
        let meant = meant.map(|near| format!(", did you mean `{near}`?"));
        let meant = meant.unwrap_or_else(|| format!(", expected one of {}", all.join(", ")));
        self.mistake(format!("unknown {what} `{name}`{meant}"));
    }

    fn arguments(&mut self, args: &[CallArg<'_>]) {
        for argument in args {
            let (CallArg::Pos(value)
            | CallArg::Kwarg(_, value)
            | CallArg::PosSplat(value)
            | CallArg::KwargSplat(value)) = argument;
            self.type_of(value);
        }
    }

    fn type_of_name(&self, name: &str) -> Type {
        if self.hides(name) {
            return Type::Any;
        }
        let status = STATUS.iter().find(|column| column.name == name);
        let coverage = COVERAGE.iter().find(|column| column.name == name);
        match (status, coverage) {
            (Some(column), None) => Type::of(&column.kind),
            (None, Some(column)) => Type::of(&column.kind),
            (Some(column), Some(same)) if Type::of(&column.kind) == Type::of(&same.kind) => {
                Type::of(&column.kind)
            }
            _ => Type::Any,
        }
    }

    fn binary(&mut self, left: &Expr<'_>, op: BinOpKind, right: &Expr<'_>) -> Type {
        let (left, right) = (self.type_of(left), self.type_of(right));
        match op {
            BinOpKind::ScAnd | BinOpKind::ScOr if left == right => left,
            BinOpKind::ScAnd | BinOpKind::ScOr => Type::Any,
            BinOpKind::Concat => Type::Text,
            BinOpKind::Add if left != Type::Number || right != Type::Number => Type::Any,
            _ => Type::Number,
        }
    }

    fn comparison(&mut self, left: &Expr<'_>, op: Comparison, right: &Expr<'_>) -> Type {
        let types = (self.type_of(left), self.type_of(right));
        let listed = match right {
            Expr::List(list) => Some(&list.items),
            Expr::Tuple(tuple) => Some(&tuple.items),
            _ => None,
        };
        match (op, listed) {
            (Comparison::In | Comparison::NotIn, Some(items)) => {
                for item in items {
                    let types = (types.0, self.type_of(item));
                    self.equality(left, item, types);
                }
            }
            // Within a text, or a list that the payload has.
            (Comparison::In | Comparison::NotIn, None) => {}
            _ if op.is_order() && self.is_severity(left, right) => self.order(left, op, right),
            _ => self.equality(left, right, types),
        }
        Type::Boolean
    }

    /// A name means something else than the column.
    fn hides(&self, name: &str) -> bool {
        self.source == Source::Raw || self.locals.contains(name)
    }

    fn is_severity(&self, left: &Expr<'_>, right: &Expr<'_>) -> bool {
        !self.hides(SEVERITY) && [left, right].map(name).contains(&Some(SEVERITY))
    }

    /// Two values that are equal or not, or of which one is more.
    fn equality(&mut self, left: &Expr<'_>, right: &Expr<'_>, types: (Type, Type)) {
        let column = |operand: &Expr<'_>| {
            let name = name(operand).filter(|name| !self.hides(name))?;
            WORDS.into_iter().find(|word| *word == name)
        };
        let sides = [
            (column(left), constant(right)),
            (column(right), constant(left)),
        ];
        for (column, word) in sides {
            if let (Some(column), Some(word)) = (column, word) {
                let word = word.to_owned();
                self.findings.words.push(Word { column, word });
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
            (Type::Boolean, _) => Some(format!("{shown} or not {shown}")),
            (Type::Text, Some(constant)) => {
                let word = literal(&constant);
                Some(literal(&Value::from(word.as_str())))
            }
            (Type::Number, Some(constant)) => {
                let number = constant.to_string();
                number.parse::<f64>().ok().map(|_| number)
            }
            _ => None,
        };
        let hint = hint
            .map(|hint| format!(": write {hint}"))
            .unwrap_or_default();
        let (is, is_not) = (is.in_words(), is_not.in_words());
        self.mistake(format!(
            "`{shown}` is {is} and `{other_shown}` is {is_not}, so they are never equal{hint}"
        ));
    }

    /// One severity against another.
    fn order(&mut self, left: &Expr<'_>, op: Comparison, right: &Expr<'_>) {
        let words = || Severity::RANKED.map(Severity::as_str).join(" < ");
        let other = if name(left) == Some(SEVERITY) {
            right
        } else {
            left
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
        let held = severities(left, op, right).unwrap_or_default();
        let held: Vec<String> = held.into_iter().map(|word| format!("'{word}'")).collect();
        match (self.source, held.len()) {
            (_, 0) => self.mistake(format!(
                "no severity is beyond '{word}': they are {}",
                words()
            )),
            (Source::Condition | Source::Raw, _) => {}
            (Source::Template, _) => self.mistake(format!(
                "a template compares severities as texts: write severity in [{}]",
                held.join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(source: &str) -> String {
        of_condition(source).mistakes.join("; ")
    }

    #[test]
    fn what_can_never_be_equal_is_a_mistake_that_says_what_to_write() {
        for (source, expected) in [
            (
                "device_id == 3",
                "`device_id` is a text and `3` is a number, so they are never equal: write '3'",
            ),
            ("3 != client_id", "write '3'"),
            ("device_id in [1, '2']", "write '1'"),
            (
                "not (device_id not in (1, 2))",
                "write '1'; `device_id` is a text and `2`",
            ),
            (
                "longitude > '100'",
                "`longitude` is a number and `'100'` is a text, so they are never equal: write 100",
            ),
            (
                "changed == 'true'",
                "`changed` is true or false and `'true'` is a text, so they are never equal: write changed or not changed",
            ),
            ("changed == 1", "write changed or not changed"),
            ("state == true", "write 'true'"),
            ("device_id|int == '3'", "write 3"),
            (
                "1 < device_id < 3",
                "write '1'; `device_id` is a text and `3`",
            ),
            (
                "severity == 'critical' or 'warning'",
                "'warning' alone is true for every status",
            ),
            ("'fault'", "alone is true for every status"),
            (
                "severity >= 'warnin'",
                "'warnin' has no place among the severities, did you mean 'warning'?",
            ),
            (
                "severity > 'unknown'",
                "'unknown' has no place among the severities: they are ok < info < warning < critical",
            ),
            ("severity > state", "`state` is no severity"),
            ("severity > 'critical'", "no severity is beyond 'critical'"),
        ] {
            let mistakes = mistakes(source);
            assert!(mistakes.contains(expected), "{source}: {mistakes}");
        }
    }

    #[test]
    fn names_of_the_language_are_known_and_a_mistyped_one_is_named() {
        for name in FILTERS {
            assert_eq!(mistakes(&format!("city|{name}")), "");
        }
        for name in TESTS {
            assert_eq!(mistakes(&format!("city is {name}")), "");
        }
        // Behind what no status reaches.
        let filter = mistakes("false and payload|tojsno == 'x'");
        assert_eq!(filter, "unknown filter `tojsno`, did you mean `tojson`?");
        let test = mistakes("city is definde");
        assert_eq!(test, "unknown test `definde`, did you mean `defined`?");
        assert!(mistakes("city|nonsense").contains("expected one of abs, attr"));
    }

    #[test]
    fn what_may_be_equal_is_none() {
        for source in [
            "device_id == '3'",
            "device_id|int > 5",
            "longitude > 100 and latitude < 30.5",
            "changed == true",
            "changed and severity >= 'warning'",
            "'ok' < severity <= 'warning'",
            "payload.temperature > 5 and payload.name == 'x'",
            "serial == none or serial is none",
            "received_at > '2026-01-01'",
            "'盐' in city and device_id in ['1', '2']",
            "state == new_state",
        ] {
            assert_eq!(mistakes(source), "", "{source}");
        }
    }

    #[test]
    fn words_are_those_that_a_vocabulary_judges() {
        let source =
            "state == 'a' or 'b' == topic or severity in ['c'] or city == 'd' or state != serial";
        let words = of_condition(source).words;
        let words: Vec<_> = words.iter().map(|it| (it.column, &*it.word)).collect();
        assert_eq!(words, [("state", "a"), ("topic", "b"), ("severity", "c")]);
    }

    #[test]
    fn a_templates_conditions_are_judged_where_they_are_about_columns() {
        for (source, expected) in [
            ("{% if device_id == 3 %}x{% endif %}", "write '3'"),
            (
                "{{ 'x' if severity >= 'warning' }}",
                "write severity in ['warning', 'critical']",
            ),
            (
                "{% for state in payload.x %}{{ state == 1 }}{% endfor %}",
                "",
            ),
            ("{% set topic = 3 %}{% if topic == 3 %}x{% endif %}", ""),
            ("{{ serial or 'none' }}", ""),
        ] {
            let mistakes = of_template(source).mistakes.join("; ");
            assert!(
                if expected.is_empty() {
                    mistakes.is_empty()
                } else {
                    mistakes.contains(expected)
                },
                "{source}: {mistakes}"
            );
        }
    }
}

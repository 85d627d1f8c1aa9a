//! What an expression compares with what: mistakes that would make it hold for nothing, or for
//! everything, whatever comes. It evaluates nothing.

use std::collections::HashSet;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Filter, Stmt, Test, UnaryOpKind};
use minijinja::machinery::{parse, parse_expr};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind};

use super::nearest;
use super::scope::language;
use super::syntax::{
    Comparison, SEVERITY, Spelling, constant, literal, name, ranked, severities, text,
};
use crate::model::columns::{COVERAGE, KIND, of_status};
use crate::model::{ColumnKind, Severity};

/// The columns whose words come from a vocabulary.
const WORDS: [&str; 6] = ["state", SEVERITY, "topic", "old_state", "new_state", KIND];

/// The list that a batch's template has.
pub(super) const EVENTS: &str = "events";

/// The filters that give some of a list's items, or all of them in another order.
const KEEPING: [&str; 8] = [
    "list",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "sort",
    "unique",
];

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
    of_statements(source, Source::Template)
}

/// That of a template over a list of events.
pub(super) fn of_list_template(source: &str) -> Findings {
    of_statements(source, Source::List)
}

fn of_statements(source: &str, kind: Source) -> Findings {
    let mut checker = Checker::new(kind);
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
    /// The same, over a list of events.
    List,
    /// Its names are a message's own.
    Raw,
}

/// What an operand is, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Boolean,
    List,
    /// What the filter `urlencode` gives in a template: it is printed, and equals nothing.
    Encoded,
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
            ValueKind::Seq => Type::List,
            _ => Type::Any,
        }
    }

    /// What a filter of that name makes of such a value; `fallback`: what its argument is.
    fn of_filter(name: &str, of: Type, fallback: Type) -> Type {
        match name {
            "int" | "float" | "length" | "count" | "abs" | "round" => Type::Number,
            "lower" | "upper" | "title" | "capitalize" | "trim" | "replace" | "string" | "join"
            | "indent" | "format" | "tojson" | "pprint" | "urlencode" => Type::Text,
            "bool" => Type::Boolean,
            "batch" | "dictsort" | "groupby" | "items" | "lines" | "map" | "slice" | "split" => {
                Type::List
            }
            "reverse" if of == Type::Text => Type::Text,
            "first" | "last" if of == Type::Text => Type::Text,
            "default" | "d" if of == fallback => of,
            name if KEEPING.contains(&name) => match (name, of) {
                ("reverse", Type::Any) => Type::Any,
                _ => Type::List,
            },
            _ => Type::Any,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Type::Text => "a text",
            Type::Number => "a number",
            Type::Boolean => "true or false",
            Type::List => "a list",
            Type::Encoded => "a part of a URL",
            Type::Any => "anything",
        }
    }
}

struct Checker {
    source: Source,
    language: Environment<'static>,
    /// Names that the text gives to something itself.
    locals: HashSet<String>,
    /// Those that it gives to one event of the list after the other.
    each: HashSet<String>,
    findings: Findings,
}

impl Checker {
    fn new(source: Source) -> Checker {
        Checker {
            source,
            language: language(),
            locals: HashSet::new(),
            each: HashSet::new(),
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
        if let Stmt::ForLoop(each) = statement
            && self.is_events(&each.iter)
            && let Some(name) = name(&each.target)
        {
            self.each.insert(name.to_owned());
            return each
                .body
                .iter()
                .chain(&each.else_body)
                .for_each(|it| self.locals(it));
        }
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
                if let Some(filter) = &each.filter_expr {
                    self.condition(filter);
                }
                (vec![&each.iter], vec![&each.body, &each.else_body])
            }
            Stmt::IfCond(choice) => {
                self.condition(&choice.expr);
                (vec![], vec![&choice.true_body, &choice.false_body])
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
            Expr::Var(_) => self.type_of_column(self.column(expression)),
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
                self.condition(&choice.test_expr);
                let first = self.type_of(&choice.true_expr);
                let second = choice.false_expr.as_ref().map(|it| self.type_of(it));
                match second == Some(first) {
                    true => first,
                    false => Type::Any,
                }
            }
            Expr::Filter(filter) => self.filter(filter),
            Expr::Test(test) => self.test(test),
            Expr::GetAttr(attribute) => {
                self.type_of(&attribute.expr);
                self.type_of_column(self.column(expression))
            }
            Expr::GetItem(item) => {
                self.type_of(&item.expr);
                self.type_of(&item.subscript_expr);
                self.type_of_column(self.column(expression))
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
                Type::List
            }
            Expr::Tuple(tuple) => {
                self.all(&tuple.items);
                Type::List
            }
            Expr::Map(map) => {
                self.all(&map.values);
                Type::Any
            }
        }
    }

    fn filter(&mut self, filter: &Filter<'_>) -> Type {
        let name = filter.name;
        let of = filter.expr.as_ref().map(|of| self.type_of(of));
        self.arguments(&filter.args);
        self.known(name, "filter", &format!("none|{name}"), &FILTERS);
        let fallback = match filter.args.first() {
            Some(CallArg::Pos(value)) => self.type_of(value),
            Some(_) => Type::Any,
            None => Type::Text,
        };
        match (name, self.source) {
            ("urlencode", Source::Template | Source::List) => Type::Encoded,
            _ => Type::of_filter(name, of.unwrap_or(Type::Text), fallback),
        }
    }

    fn test(&mut self, test: &Test<'_>) -> Type {
        let name = test.name;
        self.known(name, "test", &format!("none is {name}"), &TESTS);
        match (Comparison::of_test(name), &test.args[..]) {
            (Some(op), [CallArg::Pos(other)]) => self.comparison(&test.expr, op, other),
            _ => {
                self.type_of(&test.expr);
                self.arguments(&test.args);
                Type::Boolean
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

    fn type_of_column(&self, name: Option<&str>) -> Type {
        let Some(name) = name else {
            return Type::Any;
        };
        if name == KIND {
            return Type::Text;
        }
        let status = of_status(name);
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
        match op {
            Comparison::In | Comparison::NotIn => self.membership(left, right, types),
            _ if op.is_order() && self.is_severity(left, right) => self.order(left, op, right),
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

    /// The column that an operand is.
    fn column<'e>(&self, operand: &'e Expr<'_>) -> Option<&'e str> {
        match operand {
            Expr::Var(variable) if !self.hides(variable.id) => Some(variable.id),
            Expr::GetAttr(attribute) if self.is_event(&attribute.expr) => Some(attribute.name),
            Expr::GetItem(item) if self.is_event(&item.expr) => constant(&item.subscript_expr),
            _ => None,
        }
    }

    /// A name means something else than the column.
    fn hides(&self, name: &str) -> bool {
        matches!(self.source, Source::Raw | Source::List) || self.locals.contains(name)
    }

    /// Whether it is one event of the list.
    fn is_event(&self, expression: &Expr<'_>) -> bool {
        match expression {
            Expr::Var(variable) => {
                self.each.contains(variable.id) && !self.locals.contains(variable.id)
            }
            Expr::GetItem(item) => self.is_events(&item.expr),
            Expr::Filter(filter) if matches!(filter.name, "first" | "last") => {
                filter.expr.as_ref().is_some_and(|of| self.is_events(of))
            }
            _ => false,
        }
    }

    /// Whether it is the list of events, or some of it.
    fn is_events(&self, expression: &Expr<'_>) -> bool {
        match expression {
            Expr::Var(variable) => {
                self.source == Source::List
                    && variable.id == EVENTS
                    && !self.locals.contains(EVENTS)
            }
            Expr::Slice(slice) => self.is_events(&slice.expr),
            Expr::Filter(filter) if KEEPING.contains(&filter.name) => {
                filter.expr.as_ref().is_some_and(|of| self.is_events(of))
            }
            _ => false,
        }
    }

    fn is_severity(&self, left: &Expr<'_>, right: &Expr<'_>) -> bool {
        [left, right]
            .map(|operand| self.column(operand))
            .contains(&Some(SEVERITY))
    }

    /// Two values that are equal or not, or of which one is more.
    fn equality(&mut self, left: &Expr<'_>, right: &Expr<'_>, types: (Type, Type)) {
        let column = |operand: &Expr<'_>| {
            let name = self.column(operand)?;
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
        let (other, op) = match self.column(left) {
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
            ("severity is ge('warnin')", "did you mean 'warning'?"),
            (
                "state in ('fault')",
                "`state in 'fault'` asks whether state is a part of that text: write a list, \
                 state in ['fault']",
            ),
            ("device_id not in '1, 2'", "device_id in ['1', '2']"),
            (
                "city in changed",
                "`changed` is true or false, so nothing can be in it",
            ),
            (
                "'x' in device_id|length",
                "is a number, so nothing can be in it",
            ),
            (
                "state == ['fault', 'offline']",
                "`state` is a text and `['fault', 'offline']` is a list, so they are never equal: \
                 write state in ['fault', 'offline']",
            ),
            ("city|split(',') == 'a'", "write 'a' in city|split(',')"),
            ("device_id is eq(3)", "write '3'"),
            ("device_id is in([3])", "write '3'"),
            ("city|capitalize == 3", "write '3'"),
            ("serial|default('') == 3", "write '3'"),
            ("(city if changed else detail) == 3", "write '3'"),
            ("1 if 'x' else 2", "'x' alone is true"),
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
            "city|urlencode == 'a' and city|reverse == 'a' and city|first == 'a'",
            "payload.list|reverse == 'a' and payload.list|first == 3",
            "serial|default(3) == 3 and device_id is in(['3'])",
            "state in payload.list and state in city and 'a' in 'abc'",
            "{'a': 1}.a == 1 and state in {'a': 1} and payload.list == ['a']",
            "severity is ge('warning')",
        ] {
            assert_eq!(mistakes(source), "", "{source}");
        }
    }

    #[test]
    fn words_are_those_that_a_vocabulary_judges() {
        let source =
            "state == 'a' or 'b' == topic or severity in ('c', 'e') or city == 'd' or state == 'a'";
        let words = of_condition(source).words;
        let words: Vec<_> = words.iter().map(|it| (it.column, &*it.word)).collect();
        let expected = [
            ("state", "a"),
            ("topic", "b"),
            ("severity", "c"),
            ("severity", "e"),
        ];
        assert_eq!(words, expected);
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
            (
                "{% if severity == 'critical' or 'warning' %}x{% endif %}",
                "'warning' alone is true",
            ),
            ("{% if state in 'fault' %}x{% endif %}", "write a list"),
            (
                "{% if device_id|urlencode == 'a%20b' %}x{% endif %}",
                "`device_id|urlencode` is a part of a URL and `'a%20b'` is a text, so they are \
                 never equal: leave `urlencode` out",
            ),
            ("{{ device_id|urlencode|upper == 'A' }}", ""),
            ("{% if kind == 3 %}x{% endif %}", "write '3'"),
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

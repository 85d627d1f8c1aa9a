//! What an expression compares with what: mistakes that would make it hold for nothing, or for
//! everything, whatever comes. It evaluates nothing.

mod comparison;
mod operand;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Filter, Stmt, Test, UnaryOpKind};
use minijinja::machinery::{parse, parse_expr};
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind};

use operand::{KEEPING, Type};

use super::nearest;
use super::scope::language;
use super::syntax::{Comparison, SEVERITY, constant, literal, name};
use crate::model::columns::{COVERAGE, KIND, of_status};

/// The list that a batch's template has.
pub(super) const EVENTS: &str = "events";

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
}

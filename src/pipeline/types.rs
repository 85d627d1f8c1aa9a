//! What an expression compares with what: mistakes that would make it hold for nothing, or for
//! everything, whatever comes. It evaluates nothing.

mod builtin;
mod comparison;
mod names;
mod operand;
#[cfg(test)]
mod tests;

use minijinja::Environment;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Filter, Stmt, Test, UnaryOpKind};
use minijinja::machinery::{parse, parse_expr};
use minijinja::value::ValueKind;

use builtin::Builtin;
pub(super) use names::EVENTS;
use names::Names;
use operand::Type;

use super::scope::language;
use super::syntax::{Comparison, literal};
use crate::model::columns::{COVERAGE, KIND, of_status};

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
    of_expression(source, Source::Condition)
}

/// That of a condition over a message's own object, which may have any name.
pub(super) fn of_raw_condition(source: &str) -> Findings {
    of_expression(source, Source::Raw)
}

/// That of a template, likewise.
pub(super) fn of_template(source: &str) -> Findings {
    of_statements(source, Source::Template)
}

/// That of a template over a list of events.
pub(super) fn of_list_template(source: &str) -> Findings {
    of_statements(source, Source::List)
}

fn of_expression(source: &str, kind: Source) -> Findings {
    let mut checker = Checker::new(kind);
    if let Ok(expression) = parse_expr(source) {
        checker.condition(&expression);
    }
    checker.findings
}

fn of_statements(source: &str, kind: Source) -> Findings {
    let mut checker = Checker::new(kind);
    if let Ok(template) = parse(source, "template", Default::default()) {
        checker.names.note(&template);
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
    names: Names,
    findings: Findings,
}

impl Checker {
    fn new(source: Source) -> Checker {
        Checker {
            source,
            language: language(),
            names: Names::new(source),
            findings: Findings::default(),
        }
    }

    fn mistake(&mut self, mistake: String) {
        if !self.findings.mistakes.contains(&mistake) {
            self.findings.mistakes.push(mistake);
        }
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
            Expr::Var(_) => self.type_of_column(self.names.column(expression)),
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
                self.type_of_column(self.names.column(expression))
            }
            Expr::GetItem(item) => {
                self.type_of(&item.expr);
                self.type_of(&item.subscript_expr);
                self.type_of_column(self.names.column(expression))
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
        self.known(Builtin::Filter, name);
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
        self.known(Builtin::Test, name);
        match (Comparison::of_test(name), &test.args[..]) {
            (Some(op), [CallArg::Pos(other)]) => self.comparison(&test.expr, op, other),
            _ => {
                self.type_of(&test.expr);
                self.arguments(&test.args);
                Type::Boolean
            }
        }
    }

    fn known(&mut self, builtin: Builtin, name: &str) {
        if let Some(mistake) = builtin.mistake(name, &self.language) {
            self.mistake(mistake);
        }
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
}

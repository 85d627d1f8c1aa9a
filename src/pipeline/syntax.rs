//! The syntax tree of an expression as text, in one spelling. It judges nothing.

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::value::{Value, ValueKind};

use crate::model::Severity;

/// The column whose words have an order.
pub(super) const SEVERITY: &str = "severity";

/// How an expression is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// For people.
    Written,
    /// For evaluation: a severity is compared by its order, which its words do not have.
    Ordered,
}

/// A comparison of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

impl Comparison {
    /// That of a binary operator; `None`: it compares nothing.
    pub(super) fn of(op: BinOpKind) -> Option<Comparison> {
        Some(match op {
            BinOpKind::Eq => Comparison::Equal,
            BinOpKind::Ne => Comparison::NotEqual,
            BinOpKind::Lt => Comparison::Less,
            BinOpKind::Lte => Comparison::LessOrEqual,
            BinOpKind::Gt => Comparison::Greater,
            BinOpKind::Gte => Comparison::GreaterOrEqual,
            BinOpKind::In => Comparison::In,
            _ => return None,
        })
    }

    /// That of a link in a chain such as `1 < x < 3`.
    pub(super) fn of_chain(op: CompareOpKind) -> Comparison {
        match op {
            CompareOpKind::Eq => Comparison::Equal,
            CompareOpKind::Ne => Comparison::NotEqual,
            CompareOpKind::Lt => Comparison::Less,
            CompareOpKind::Lte => Comparison::LessOrEqual,
            CompareOpKind::Gt => Comparison::Greater,
            CompareOpKind::Gte => Comparison::GreaterOrEqual,
            CompareOpKind::In => Comparison::In,
            CompareOpKind::NotIn => Comparison::NotIn,
        }
    }

    /// That of a test such as `x is eq(3)`.
    pub(super) fn of_test(name: &str) -> Option<Comparison> {
        Some(match name {
            "eq" | "equalto" | "==" => Comparison::Equal,
            "ne" | "!=" => Comparison::NotEqual,
            "lt" | "lessthan" | "<" => Comparison::Less,
            "le" | "<=" => Comparison::LessOrEqual,
            "gt" | "greaterthan" | ">" => Comparison::Greater,
            "ge" | ">=" => Comparison::GreaterOrEqual,
            "in" => Comparison::In,
            _ => return None,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::In => "in",
            Comparison::NotIn => "not in",
        }
    }

    /// The same with the operands the other way round.
    pub(super) fn turned(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }

    /// It asks which is more.
    pub(super) fn is_order(self) -> bool {
        self.turned() != self
    }

    fn holds(self, severity: Severity, than: Severity) -> bool {
        match self {
            Comparison::Less => severity < than,
            Comparison::LessOrEqual => severity <= than,
            Comparison::Greater => severity > than,
            Comparison::GreaterOrEqual => severity >= than,
            _ => false,
        }
    }
}

/// The severity of that name that has a place in the order.
pub(super) fn ranked(word: &str) -> Option<Severity> {
    Severity::RANKED
        .into_iter()
        .find(|severity| severity.as_str() == word)
}

/// The text that an operand always is.
pub(super) fn constant<'e>(operand: &'e Expr<'_>) -> Option<&'e str> {
    match operand {
        Expr::Const(constant) => constant.value.as_str(),
        _ => None,
    }
}

/// The name that an operand is.
pub(super) fn name<'e>(operand: &'e Expr<'_>) -> Option<&'e str> {
    match operand {
        Expr::Var(variable) => Some(variable.id),
        _ => None,
    }
}

/// The severities that a comparison with one severity's word holds for. `unknown` is never one of
/// them. `None`: it is no such comparison.
pub(super) fn severities(op: Comparison, word: &str) -> Option<Vec<&'static str>> {
    let than = ranked(word).filter(|_| op.is_order())?;
    let severities = Severity::RANKED.into_iter();
    let held = severities.filter(|severity| op.holds(*severity, than));
    Some(held.map(Severity::as_str).collect())
}

/// The same, by what is compared.
fn compared(left: &Expr<'_>, op: Comparison, right: &Expr<'_>) -> Option<Vec<&'static str>> {
    match (name(left), name(right)) {
        (Some(SEVERITY), _) => severities(op, constant(right)?),
        (_, Some(SEVERITY)) => severities(op.turned(), constant(left)?),
        _ => None,
    }
}

/// The expression as text.
pub(super) fn text(expression: &Expr<'_>, spelling: Spelling) -> String {
    Writer(spelling).text(expression)
}

struct Writer(Spelling);

impl Writer {
    fn text(&self, expression: &Expr<'_>) -> String {
        match expression {
            Expr::Var(variable) => variable.id.to_owned(),
            Expr::Const(constant) => literal(&constant.value),
            Expr::UnaryOp(unary) => match unary.op {
                UnaryOpKind::Not => format!("not {}", self.within(&unary.expr)),
                UnaryOpKind::Neg => format!("-{}", self.within(&unary.expr)),
            },
            Expr::BinOp(binary) => match Comparison::of(binary.op) {
                Some(op) => self.comparison(&binary.left, op, &binary.right),
                None => self.binary(&binary.left, binary.op, &binary.right),
            },
            Expr::Compare(chain) => {
                let links = chain.ops.iter();
                let lefts = std::iter::once(&chain.expr).chain(chain.ops.iter().map(|op| &op.expr));
                let pairs = lefts.zip(links).map(|(left, link)| {
                    self.comparison(left, Comparison::of_chain(link.op), &link.expr)
                });
                format!("({})", pairs.collect::<Vec<_>>().join(" and "))
            }
            Expr::IfExpr(choice) => {
                let (then, when) = (
                    self.within(&choice.true_expr),
                    self.within(&choice.test_expr),
                );
                let otherwise = choice.false_expr.as_ref();
                let otherwise = otherwise.map(|it| format!(" else {}", self.within(it)));
                format!("({then} if {when}{})", otherwise.unwrap_or_default())
            }
            Expr::Filter(filter) => {
                let of = filter.expr.as_ref().map(|of| self.within(of));
                let (of, args) = (of.unwrap_or_default(), self.arguments(&filter.args));
                format!("{of}|{}{args}", filter.name)
            }
            Expr::Test(test) => {
                if let (Some(op), [CallArg::Pos(other)]) =
                    (Comparison::of_test(test.name), &test.args[..])
                    && self.0 == Spelling::Ordered
                    && compared(&test.expr, op, other).is_some()
                {
                    return self.comparison(&test.expr, op, other);
                }
                let (of, args) = (self.within(&test.expr), self.arguments(&test.args));
                format!("{of} is {}{args}", test.name)
            }
            Expr::GetAttr(attribute) => {
                format!("{}.{}", self.within(&attribute.expr), attribute.name)
            }
            Expr::GetItem(item) => {
                let index = self.text(&item.subscript_expr);
                format!("{}[{index}]", self.within(&item.expr))
            }
            Expr::Slice(slice) => {
                let bound = |bound: &Option<Expr<'_>>| bound.as_ref().map(|it| self.text(it));
                let [start, stop, step] = [&slice.start, &slice.stop, &slice.step]
                    .map(|it| bound(it).unwrap_or_default());
                let step = if step.is_empty() {
                    step
                } else {
                    format!(":{step}")
                };
                format!("{}[{start}:{stop}{step}]", self.within(&slice.expr))
            }
            Expr::Call(call) => {
                let args = call.args.iter().map(|arg| self.argument(arg));
                let args = args.collect::<Vec<_>>().join(", ");
                format!("{}({args})", self.within(&call.expr))
            }
            Expr::List(list) => format!("[{}]", self.list(&list.items)),
            Expr::Tuple(tuple) => match &tuple.items[..] {
                [only] => format!("({},)", self.text(only)),
                items => format!("({})", self.list(items)),
            },
            Expr::Map(map) => {
                let pairs = map.keys.iter().zip(&map.values);
                let pairs = pairs.map(|(key, it)| format!("{}: {}", self.text(key), self.text(it)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// As an operand of something else.
    fn within(&self, expression: &Expr<'_>) -> String {
        let text = self.text(expression);
        match expression {
            Expr::UnaryOp(_) | Expr::BinOp(_) | Expr::Test(_) => format!("({text})"),
            _ => text,
        }
    }

    fn comparison(&self, left: &Expr<'_>, op: Comparison, right: &Expr<'_>) -> String {
        let severities = match self.0 {
            Spelling::Ordered => compared(left, op, right),
            Spelling::Written => None,
        };
        if let Some(severities) = severities {
            let words = severities
                .into_iter()
                .map(|word| literal(&Value::from(word)));
            return format!("{SEVERITY} in [{}]", words.collect::<Vec<_>>().join(", "));
        }
        let (left, mut whole) = (self.within(left), self.within(right));
        let is_read = matches!(right, Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_));
        if self.0 == Spelling::Ordered && op == Comparison::In && is_read {
            // Nothing is in what is absent: the language itself fails there.
            whole = format!("({whole} or '')");
        }
        format!("{left} {} {whole}", op.as_str())
    }

    fn binary(&self, left: &Expr<'_>, op: BinOpKind, right: &Expr<'_>) -> String {
        let (word, is_logic) = match op {
            BinOpKind::ScAnd => ("and", true),
            BinOpKind::ScOr => ("or", true),
            BinOpKind::Add => ("+", false),
            BinOpKind::Sub => ("-", false),
            BinOpKind::Mul => ("*", false),
            BinOpKind::Div => ("/", false),
            BinOpKind::FloorDiv => ("//", false),
            BinOpKind::Rem => ("%", false),
            BinOpKind::Pow => ("**", false),
            _ => ("~", false),
        };
        // What binds closer needs no parentheses to be understood.
        let operand = |operand: &Expr<'_>| match operand {
            Expr::BinOp(inner) if is_logic && Comparison::of(inner.op).is_some() => {
                self.text(operand)
            }
            Expr::BinOp(inner)
                if matches!((op, inner.op), (BinOpKind::ScAnd, BinOpKind::ScAnd))
                    || matches!((op, inner.op), (BinOpKind::ScOr, BinOpKind::ScOr)) =>
            {
                self.text(operand)
            }
            Expr::UnaryOp(_) | Expr::Test(_) if is_logic => self.text(operand),
            _ => self.within(operand),
        };
        format!("{} {word} {}", operand(left), operand(right))
    }

    fn list(&self, items: &[Expr<'_>]) -> String {
        let items = items.iter().map(|item| self.text(item));
        items.collect::<Vec<_>>().join(", ")
    }

    /// Those of a filter or a test, which may have none.
    fn arguments(&self, args: &[CallArg<'_>]) -> String {
        if args.is_empty() {
            return String::new();
        }
        let args = args.iter().map(|arg| self.argument(arg));
        format!("({})", args.collect::<Vec<_>>().join(", "))
    }

    fn argument(&self, argument: &CallArg<'_>) -> String {
        match argument {
            CallArg::Pos(value) => self.text(value),
            CallArg::Kwarg(name, value) => format!("{name}={}", self.text(value)),
            CallArg::PosSplat(value) => format!("*{}", self.within(value)),
            CallArg::KwargSplat(value) => format!("**{}", self.within(value)),
        }
    }
}

/// A constant as it is written.
pub(super) fn literal(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::None | ValueKind::Undefined => "none".to_owned(),
        ValueKind::String => {
            let mut text = String::from("'");
            for character in value.as_str().unwrap_or_default().chars() {
                match character {
                    '\'' | '\\' => text.extend(['\\', character]),
                    c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
                    c => text.push(c),
                }
            }
            text.push('\'');
            text
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::parse_expr;

    use super::*;

    fn check(source: &str, written: &str, ordered: &str) {
        let tree = parse_expr(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(text(&tree, Spelling::Written), written, "{source}");
        assert_eq!(text(&tree, Spelling::Ordered), ordered, "{source}");
        parse_expr(written).unwrap_or_else(|error| panic!("{written}: {error}"));
        parse_expr(ordered).unwrap_or_else(|error| panic!("{ordered}: {error}"));
    }

    #[test]
    fn an_expression_means_the_same_once_it_is_written_down() {
        for source in [
            "changed and severity == 'critical'",
            "changed and (state == 'fault' or state == 'offline') and not missed_transition",
            "device_id|int > 5",
            "province is none",
            "payload.a.b[0] == 1",
            "topic in ['a', 'b']",
            "((longitude + 1) * 2) > (-3.5)",
            "payload|length == 3",
            "serial|default('x', true) == 'it\\'s \\\\ \\u0007'",
            "payload.list[1:2]|length > 0",
            "('a' if changed else 'b') == 'a'",
            "range(1, 3)|sum == 3",
            "{'a': 1}.a == 1 and (1,) == (1, 2) and none == 12345678901234567890123",
            "true or false",
        ] {
            check(source, source, source);
        }
        check(
            "not (a and b) or c not in d",
            "not (a and b) or not (c in d)",
            "not (a and b) or not (c in (d or ''))",
        );
        check("1 < a < 3", "(1 < a and a < 3)", "(1 < a and a < 3)");
    }

    #[test]
    fn severities_are_compared_by_their_order() {
        let ordered = |source: &str, ordered: &str| check(source, source, ordered);
        ordered(
            "severity >= 'warning'",
            "severity in ['warning', 'critical']",
        );
        ordered(
            "severity < 'warning' and changed",
            "severity in ['ok', 'info'] and changed",
        );
        ordered(
            "not ('info' < severity)",
            "not (severity in ['warning', 'critical'])",
        );
        ordered("severity == 'warning'", "severity == 'warning'");
        ordered("severity > 'critical'", "severity in []");
        ordered("severity is lt('info')", "severity in ['ok']");
        let chain = "('ok' < severity and severity < 'critical')";
        let both = "(severity in ['info', 'warning', 'critical'] and severity in ['ok', 'info', 'warning'])";
        check("'ok' < severity < 'critical'", chain, both);
    }
}

//! What a name means in a text: a column, or something that the text itself has named so.

use std::collections::HashSet;

use minijinja::machinery::ast::{Expr, Stmt};

use super::Source;
use super::operand::KEEPING;
use crate::pipeline::syntax::{constant, name};

/// The list that a batch's template has.
pub(in crate::pipeline) const EVENTS: &str = "events";

/// The names of one text.
pub(super) struct Names {
    source: Source,
    /// Names that the text gives to something itself.
    locals: HashSet<String>,
    /// Those that it gives to one event of the list after the other.
    each: HashSet<String>,
}

impl Names {
    pub(super) fn new(source: Source) -> Names {
        Names {
            source,
            locals: HashSet::new(),
            each: HashSet::new(),
        }
    }

    /// Notes the names that a template gives itself: they hide the columns.
    pub(super) fn note(&mut self, statement: &Stmt<'_>) {
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
                .for_each(|it| self.note(it));
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
        bodies.into_iter().flatten().for_each(|it| self.note(it));
    }

    /// The column that an operand is.
    pub(super) fn column<'e>(&self, operand: &'e Expr<'_>) -> Option<&'e str> {
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
}

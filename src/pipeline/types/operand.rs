//! What an operand is, as far as that is known before anything is evaluated.

use minijinja::value::{Value, ValueKind};

use crate::model::ColumnKind;

/// The filters that give some of a list's items, or all of them in another order.
pub(super) const KEEPING: [&str; 8] = [
    "list",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "sort",
    "unique",
];

/// What an operand is, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Boolean,
    List,
    /// What the filter `urlencode` gives in a template: it is printed, and equals nothing.
    Encoded,
    Any,
}

impl Type {
    pub(super) fn of<Row>(kind: &ColumnKind<Row>) -> Type {
        match kind {
            ColumnKind::Word(_) | ColumnKind::Text(_) | ColumnKind::Time(_) => Type::Text,
            ColumnKind::Number(_) => Type::Number,
            ColumnKind::Boolean(_) => Type::Boolean,
            ColumnKind::Json(_) => Type::Any,
        }
    }

    pub(super) fn of_value(value: &Value) -> Type {
        match value.kind() {
            ValueKind::String => Type::Text,
            ValueKind::Number => Type::Number,
            ValueKind::Bool => Type::Boolean,
            ValueKind::Seq => Type::List,
            _ => Type::Any,
        }
    }

    /// What a filter of that name makes of such a value; `fallback`: what its argument is.
    pub(super) fn of_filter(name: &str, of: Type, fallback: Type) -> Type {
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

    pub(super) fn in_words(self) -> &'static str {
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

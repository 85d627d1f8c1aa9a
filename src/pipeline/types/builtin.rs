//! The filters and tests of the language, of which a mistyped one may be meant.

use minijinja::{Environment, ErrorKind};

use crate::pipeline::nearest;

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

const TESTS: [&str; 12] = [
    "boolean", "defined", "even", "false", "integer", "iterable", "mapping", "none", "number",
    "odd", "sequence", "string",
];

/// What stands behind `|` or `is`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Builtin {
    Filter,
    Test,
}

impl Builtin {
    /// What is wrong with a name that the language does not have.
    pub(super) fn mistake(self, name: &str, language: &Environment<'_>) -> Option<String> {
        // A use of it that is reached in any case.
        let (what, used, all) = match self {
            Builtin::Filter => ("filter", format!("none|{name}"), &FILTERS[..]),
            Builtin::Test => ("test", format!("none is {name}"), &TESTS[..]),
        };
        let used = language.compile_expression(&used);
        let error = used.and_then(|used| used.eval(())).err()?;
        if !matches!(
            error.kind(),
            ErrorKind::UnknownFilter | ErrorKind::UnknownTest
        ) {
            return None;
        }
        let meant = nearest(name, all.iter().copied());
        let meant = meant.map(|near| format!(", did you mean `{near}`?"));
        let meant = meant.unwrap_or_else(|| format!(", expected one of {}", all.join(", ")));
        Some(format!("unknown {what} `{name}`{meant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::scope::language;

    #[test]
    fn every_one_is_the_languages() {
        let language = language();
        let unknown = |all: &[&str], builtin: Builtin| -> Vec<String> {
            let mistakes = all.iter().map(|name| builtin.mistake(name, &language));
            mistakes.flatten().collect()
        };
        assert!(unknown(&FILTERS, Builtin::Filter).is_empty());
        assert!(unknown(&TESTS, Builtin::Test).is_empty());
        assert_eq!(unknown(&["nonsense"], Builtin::Filter).len(), 1);
    }
}

//! Where a value stands in the configuration: the names of the keys around it and its own.

use std::fmt;

/// Names of keys, from the outermost; in an array, indices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Path(pub(super) Vec<String>);

impl Path {
    pub(super) fn join(&self, name: impl Into<String>) -> Path {
        let mut path = self.clone();
        path.0.push(name.into());
        path
    }

    pub(super) fn below(&self, path: &[String]) -> Path {
        Path(self.0.iter().chain(path).cloned().collect())
    }

    pub(super) fn parent(&self) -> Option<Path> {
        self.0.split_last().map(|(_, parent)| Path(parent.to_vec()))
    }
}

impl From<&str> for Path {
    /// Of plain names between dots.
    fn from(source: &str) -> Path {
        Path(source.split('.').map(str::to_owned).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.join(".").fmt(f)
    }
}

//! Where the fields of a status stand, so that who decodes it again does not search it again.

use std::sync::Arc;

use crate::pipeline::pointer::Finder;

/// Where the fields stand in one status's text. Clones share it.
#[derive(Debug, Clone)]
pub struct FieldPlaces {
    /// What has found them, by its pointers.
    by: Arc<Finder>,
    /// The first byte of each, and its length; 0: it is not there.
    places: Arc<[(u32, u32)]>,
}

impl PartialEq for FieldPlaces {
    fn eq(&self, other: &FieldPlaces) -> bool {
        self.places == other.places
    }
}

impl Eq for FieldPlaces {}

impl FieldPlaces {
    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// What was found in `json`; `None`: it is too long to say.
    pub(super) fn new(by: &Arc<Finder>, json: &str, found: &[Option<&str>]) -> Option<FieldPlaces> {
        u32::try_from(json.len()).ok()?;
        let place = |text: &str| {
            let first = text.as_ptr() as usize - json.as_ptr() as usize;
            (first as u32, text.len() as u32)
        };
        let places = found.iter().map(|text| text.map_or((0, 0), place));
        Some(FieldPlaces {
            by: Arc::clone(by),
            places: places.collect(),
        })
    }

    /// What stands there in the same text; `None`: other pointers have found them.
    pub(super) fn found<'a>(
        &self,
        by: &Arc<Finder>,
        json: &'a str,
    ) -> Option<Vec<Option<&'a str>>> {
        let text = |(first, length): &(u32, u32)| {
            let first = *first as usize;
            match *length as usize {
                0 => Some(None),
                length => json.get(first..first + length).map(Some),
            }
        };
        let is_same = Arc::ptr_eq(&self.by, by);
        is_same.then(|| self.places.iter().map(text).collect())?
    }
}

//! What decoding gives: the statuses of a body, each with its device and with what of it could not
//! be read.

use std::borrow::Cow;

use super::places::FieldPlaces;
use crate::pipeline::{Field, Undecodable};

/// The device of a status, and what tells a change and a repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusKey {
    /// Empty where the message names none.
    pub client_id: String,
    /// Never empty.
    pub device_id: String,
    /// As sent.
    pub old_state: Option<String>,
    /// As sent.
    pub new_state: String,
    /// A hash of the event key, where the status has one.
    pub event_key: Option<u64>,
    /// A hash of all that it says, where several topics of its stream may bring the same.
    pub shared_hash: Option<u64>,
}

impl StatusKey {
    /// What it is read from.
    pub(super) const FIELDS: [Field; 5] = [
        Field::Client,
        Field::Device,
        Field::Serial,
        Field::OldState,
        Field::NewState,
    ];
}

/// One status of a body: its own bytes and what they say.
#[derive(Debug)]
pub struct Element<'a> {
    /// A part of the body; a copy in UTF-8 where the body has it as a text, in another charset or
    /// compressed.
    pub raw: Cow<'a, [u8]>,
    /// `raw` was read as UTF-8, which a copy always is. Other bytes may be in anything.
    pub is_utf8: bool,
    /// Accepted with what it says, or undecodable with why.
    pub outcome: Result<StatusKey, Undecodable>,
    /// The topic's `ignore` says that it is no status.
    pub ignored: bool,
    /// What of it could not be read, though it is accepted.
    pub doubts: Doubts,
    /// Where its fields stand in `raw`, where it could be searched.
    pub places: Option<FieldPlaces>,
}

impl<'a> Element<'a> {
    pub(super) fn undecodable(
        raw: Cow<'a, [u8]>,
        is_utf8: bool,
        reason: Undecodable,
    ) -> Element<'a> {
        Element {
            raw,
            is_utf8,
            outcome: Err(reason),
            ignored: false,
            doubts: Doubts::default(),
            places: None,
        }
    }

    pub(super) fn into_owned(self) -> Element<'static> {
        Element {
            raw: Cow::Owned(self.raw.into_owned()),
            is_utf8: true,
            outcome: self.outcome,
            ignored: self.ignored,
            doubts: self.doubts,
            places: self.places,
        }
    }
}

/// What of a status could not be read: the row is stored without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubts {
    /// A bit for each of [`Field::ALL`].
    fields: u16,
    /// `[states]` does not have its new state.
    pub unmapped: bool,
    /// Its text is as the topic's `encoding` has it, and its bytes are UTF-8, too.
    pub is_utf8_too: bool,
}

impl Doubts {
    /// There are none.
    pub fn is_empty(self) -> bool {
        self == Doubts::default()
    }

    /// The fields whose values could not be read as they are meant.
    pub fn fields(self) -> impl Iterator<Item = Field> {
        let all = Field::ALL.into_iter();
        all.filter(move |field| self.fields & (1 << *field as u16) != 0)
    }

    pub(super) fn add(&mut self, field: Field, is_unreadable: bool) {
        self.fields |= u16::from(is_unreadable) << field as u16;
    }
}

//! A text in the two languages of the status page. Logs, commands and `/status` have the English one.

use std::borrow::Cow;
use std::fmt;

/// A text, English and Chinese.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bilingual {
    /// In English.
    pub en: Cow<'static, str>,
    /// In Chinese.
    pub zh: Cow<'static, str>,
}

/// The same text in both.
pub fn both(en: impl Into<Cow<'static, str>>, zh: impl Into<Cow<'static, str>>) -> Bilingual {
    Bilingual {
        en: en.into(),
        zh: zh.into(),
    }
}

/// In English.
impl fmt::Display for Bilingual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

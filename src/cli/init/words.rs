//! What the words of a platform's states mean: the usual ones, in Chinese and English.

use crate::model::Severity;

/// A state in words of the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// `None`: the word itself says more than any name of ours.
    pub(super) name: Option<&'static str>,
    pub(super) severity: Severity,
}

/// A name with its severity, and the words for it, in small letters.
type Entry = (&'static str, Severity, &'static [&'static str]);

const WORDS: &[Entry] = &[
    (
        "normal",
        Severity::Ok,
        &["正常", "良好", "normal", "ok", "healthy", "good"],
    ),
    (
        "running",
        Severity::Ok,
        &["运行", "运行中", "工作中", "running", "working", "active"],
    ),
    (
        "online",
        Severity::Ok,
        &["在线", "上线", "online", "up", "connected"],
    ),
    ("idle", Severity::Ok, &["空闲", "待机", "idle", "standby"]),
    (
        "fault",
        Severity::Critical,
        &[
            "故障", "异常", "fault", "faulty", "error", "failed", "failure", "broken",
        ],
    ),
    (
        "alarm",
        Severity::Critical,
        &["报警", "告警", "警报", "alarm", "critical", "emergency"],
    ),
    (
        "offline",
        Severity::Warning,
        &[
            "离线",
            "断线",
            "掉线",
            "失联",
            "断开",
            "offline",
            "disconnected",
            "down",
            "lost",
        ],
    ),
    (
        "warning",
        Severity::Warning,
        &["预警", "警告", "warning", "warn", "degraded"],
    ),
    (
        "maintenance",
        Severity::Info,
        &[
            "维护",
            "维护中",
            "维修",
            "检修",
            "保养",
            "maintenance",
            "repair",
        ],
    ),
    (
        "stopped",
        Severity::Info,
        &[
            "停止", "停机", "关机", "停用", "stopped", "stop", "off", "disabled",
        ],
    ),
];

/// What turns a word into its opposite, or says that it is over: nobody should guess then.
const TURNS: [&str; 16] = [
    "无",
    "非",
    "不",
    "未",
    "没",
    "恢复",
    "解除",
    "消除",
    "结束",
    "排除",
    "not",
    "no",
    "non",
    "cleared",
    "recovered",
    "resolved",
];

/// What a word means; `None`: only the operator knows.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    let small = word.trim().to_lowercase();
    let exact = WORDS.iter().find(|(_, _, words)| words.contains(&&*small));
    if let Some((name, severity, _)) = exact {
        return Some(Meaning {
            name: Some(name),
            severity: *severity,
        });
    }
    if TURNS.iter().any(|turn| is_part(turn, &small)) {
        return None;
    }
    // `严重故障` and `DEVICE_FAULT` have a usual word in them. Two of different severities say
    // nothing for certain.
    let found = WORDS.iter().filter(|(_, _, words)| {
        let mut words = words.iter();
        words.any(|word| is_part(word, &small))
    });
    let mut severities: Vec<Severity> = found.map(|(_, severity, _)| *severity).collect();
    severities.dedup();
    match severities[..] {
        [severity] => Some(Meaning {
            name: None,
            severity,
        }),
        _ => None,
    }
}

/// Whether a word stands in another: a Chinese one anywhere, an English one as a whole word.
fn is_part(word: &str, whole: &str) -> bool {
    match word.is_ascii() {
        true => whole
            .split(|c: char| !c.is_ascii_alphabetic())
            .any(|part| part == word),
        false => whole.contains(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_words_have_a_severity_and_others_are_not_guessed() {
        let check = |word: &str, expected: Option<(Option<&'static str>, Severity)>| {
            let expected = expected.map(|(name, severity)| Meaning { name, severity });
            assert_eq!(meaning(word), expected, "{word}");
        };
        check("正常", Some((Some("normal"), Severity::Ok)));
        check(" 故障 ", Some((Some("fault"), Severity::Critical)));
        check("离线", Some((Some("offline"), Severity::Warning)));
        check("Offline", Some((Some("offline"), Severity::Warning)));
        check("FAULT", Some((Some("fault"), Severity::Critical)));
        check("严重故障", Some((None, Severity::Critical)));
        check("DEVICE_FAULT", Some((None, Severity::Critical)));
        check("维护中", Some((Some("maintenance"), Severity::Info)));
        for word in [
            "无故障",
            "故障恢复",
            "不在线",
            "not ok",
            "fault-cleared",
            "爆炸",
            "0",
            "",
            "defaulted",
            "离线故障",
            "online/offline",
        ] {
            check(word, None);
        }
    }

    #[test]
    fn each_word_stands_once() {
        let words: Vec<&str> = WORDS
            .iter()
            .flat_map(|(_, _, words)| *words)
            .copied()
            .collect();
        for word in &words {
            assert_eq!(
                words.iter().filter(|other| *other == word).count(),
                1,
                "{word}"
            );
            assert_eq!(word.to_lowercase(), *word);
        }
    }
}

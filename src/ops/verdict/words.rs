//! The words of each fact: the lines of `/readyz` in English, and the clause, the sentence and the
//! steps in both languages.

use jiff::Timestamp;
use url::Url;

use super::{Down, Fact, Full, NoSnapshot, Todo, Unheard, Waits, Warned};
use crate::excerpt::beginning;
use crate::journal::FREE_BYTES_AGAIN;
use crate::ops::lang::{Lang, grouped, size};
use crate::ops::reload::RejectedReload;
use crate::ops::trouble::{Trouble, said};
use crate::ops::view::Behind;
use crate::source::Refuser;

/// So much of an error is quoted; the log has all of it.
const QUOTED_CHARS_MAX: usize = 300;

/// Facts that a sentence joins; the others are in the list below it.
const JOINED_MAX: usize = 2;

/// Lines of `/readyz` and of the log: why the daemon is not ready; none where it is in spite of it.
pub(super) fn reasons(fact: &Fact) -> Vec<String> {
    match fact {
        Fact::JournalFull {
            full: Some(Full::Disk),
            ..
        } => vec![format!(
            "journal stopped: its disk is full, and nothing is accepted until {}",
            disk_has_room()
        )],
        Fact::JournalFull {
            full: Some(Full::Log),
            ..
        } => vec![
            "journal full: it takes only messages that were sent already until the sinks have \
             caught up"
                .to_owned(),
        ],
        Fact::Paused {
            since,
            held_back,
            disk_full,
            trouble,
        } => {
            let until = match disk_full {
                true => disk_has_room(),
                false => "the sinks have caught up".to_owned(),
            };
            let why = match held_back {
                0 => format!(
                    "the server is not read until {until}{}",
                    after_colon(trouble.as_deref())
                ),
                topics => format!("{topics} topics wait at the server until {until}"),
            };
            vec![format!(
                "source paused: journal full since {since:.0}: {why}"
            )]
        }
        Fact::Unconnected {
            stopped,
            since,
            trouble,
            ..
        } => {
            let state = if *stopped { "stopped" } else { "connecting" };
            let trouble = after_colon(trouble.as_deref());
            vec![format!("source {state} since {since:.0}{trouble}")]
        }
        Fact::Subscribing { since } => {
            vec![format!(
                "source connected since {since:.0}: not every topic is subscribed yet"
            )]
        }
        Fact::LinkSilent { since } => vec![format!(
            "source silent since {since:.0}: no message of any topic for as long as its silence allows"
        )],
        Fact::Refused { topics, count, .. } => {
            let line = |it: &Unheard| {
                format!(
                    "topic {} refused since {:.0}: {}",
                    it.name, it.since, it.error
                )
            };
            first_few(topics.iter().map(line).collect(), *count, "topics refused")
        }
        Fact::Silent { topics, count, .. } => {
            let lines = topics.iter().map(silent_reason).collect();
            first_few(lines, *count, "topics silent")
        }
        Fact::SinksDown { sinks, .. } => {
            let line = |sink: &Down| {
                let trouble = after_colon(sink.trouble.as_deref());
                format!("sink {} not up since {:.0}{trouble}", sink.name, sink.since)
            };
            sinks.iter().map(line).collect()
        }
        Fact::JournalFull { .. }
        | Fact::Evicted { .. }
        | Fact::AccountingErrors(_)
        | Fact::Undeliverable(_)
        | Fact::SinksBehind(_)
        | Fact::SinksWarned(_)
        | Fact::SnapshotsFailing { .. }
        | Fact::DeadLetters { .. }
        | Fact::Undecodable { .. }
        | Fact::UndecodableRemoved { .. }
        | Fact::ReloadRejected(_)
        | Fact::SecretsUnread(_)
        | Fact::NothingYet { .. } => Vec::new(),
    }
}

/// When a journal whose disk was full goes on.
fn disk_has_room() -> String {
    format!("{} of its disk are free", size(FREE_BYTES_AGAIN))
}

fn silent_reason(topic: &Unheard) -> String {
    let last = topic
        .last_message
        .map_or("none has come".to_owned(), |last| {
            format!("the last came at {last:.0}")
        });
    format!(
        "topic {} silent since {:.0}: no message for as long as its silence allows; {last}",
        topic.name, topic.since
    )
}

fn after_colon(text: Option<&str>) -> String {
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

/// The first few lines, and how many more there are.
fn first_few(mut lines: Vec<String>, count: usize, of: &str) -> Vec<String> {
    if let more @ 1.. = count.saturating_sub(lines.len()) {
        lines.push(format!("{more} more {of}"));
    }
    lines
}

/// A few words for the title of a window.
pub(super) fn title(facts: &[Fact], at: Timestamp, lang: Lang) -> String {
    match joined(facts, at, lang) {
        Some(clauses) => clauses,
        None => lang.t("all is well", "一切正常").to_owned(),
    }
}

/// The verdict in one sentence.
pub(super) fn sentence(facts: &[Fact], at: Timestamp, lang: Lang) -> String {
    let Some(clauses) = joined(facts, at, lang) else {
        let well = "All is well. Every status is received and delivered.";
        return lang
            .t(well, "一切正常。每条状态都已收到并送达。")
            .to_owned();
    };
    let is_start = clauses.ends_with('…');
    let end = if is_start { "" } else { lang.t(".", "。") };
    let is_trouble = facts
        .iter()
        .any(|fact| fact.level() > super::Level::Unknown);
    let promise = match is_trouble && !facts.iter().any(Fact::may_be_loss) {
        true => lang.t(
            " Nothing that was received is lost.",
            "已收到的数据没有丢失。",
        ),
        false => "",
    };
    capital(&format!("{clauses}{end}{promise}"))
}

fn joined(facts: &[Fact], at: Timestamp, lang: Lang) -> Option<String> {
    let first = facts.first()?;
    // What is not known yet matters little beside real trouble.
    let known = |fact: &&Fact| {
        fact.level() > super::Level::Unknown || first.level() == super::Level::Unknown
    };
    let facts = facts.iter().filter(known).take(JOINED_MAX);
    let clauses: Vec<String> = facts.map(|fact| clause(fact, at, lang)).collect();
    Some(clauses.join(lang.t(", and ", "，")))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect()
}

/// A fact as a part of a sentence.
fn clause(fact: &Fact, at: Timestamp, lang: Lang) -> String {
    let zh = lang == Lang::Zh;
    match fact {
        Fact::JournalFull {
            full: Some(Full::Disk),
            ..
        } => lang
            .t(
                "the journal's disk is full; reception is paused",
                "持久日志所在的磁盘已满，接收已暂停",
            )
            .to_owned(),
        Fact::JournalFull {
            full: Some(Full::Log),
            ..
        } => lang
            .t(
                "the journal is full; reception is paused",
                "持久日志已满，接收已暂停",
            )
            .to_owned(),
        Fact::JournalFull { held_back, .. } if zh => {
            format!("持久日志空间不足，{held_back} 个主题在服务器上等待")
        }
        Fact::JournalFull { held_back, .. } => {
            let topics = lang.plural(*held_back, "topic waits", "topics wait");
            format!("the journal has little room, and {held_back} {topics} at the server")
        }
        Fact::Paused { .. } => lang.t("reception is paused", "接收已暂停").to_owned(),
        Fact::Evicted { entries } if zh => {
            format!("{} 条在所有输出端收到前已被清除", grouped(*entries))
        }
        Fact::Evicted { entries } => format!(
            "{} {} evicted before every sink had them",
            grouped(*entries),
            lang.plural(*entries, "entry was", "entries were")
        ),
        Fact::AccountingErrors(_) => lang
            .t("the delivery accounting does not balance", "投递核对不平")
            .to_owned(),
        Fact::Unconnected { stopped: true, .. } => {
            lang.t("the source has stopped", "数据源已停止").to_owned()
        }
        Fact::Unconnected {
            server,
            first: true,
            ..
        } => {
            let host = host(server);
            lang.t(
                &format!("connecting to {host} …"),
                &format!("正在连接 {host}……"),
            )
            .to_owned()
        }
        Fact::Unconnected {
            server,
            since,
            refused_by,
            ..
        } => {
            let (host, age) = (host(server), lang.between(*since, at));
            let (en, zh) = match refused_by {
                None => ("", ""),
                Some(Refuser::Server) => (": the server refuses us", "：服务器拒绝"),
                Some(Refuser::SignIn) => (": the sign-in is refused", "：登录被拒绝"),
            };
            let en = format!("not connected to {host} for {age}{en}");
            lang.t(&en, &format!("与 {host} 断开已 {age}{zh}"))
                .to_owned()
        }
        Fact::Undeliverable(_) => {
            let en = "one message ends every connection";
            lang.t(en, "有一条消息使每次连接中断").to_owned()
        }
        Fact::Refused { count, of, .. } => unheard(*count, *of, lang),
        Fact::SinksDown { waits, sinks } => sinks_clause(*waits, sinks.len() as u64, lang),
        Fact::SinksBehind(sinks) => match sinks.as_slice() {
            [Behind { name, since, .. }] => {
                let age = lang.between(*since, at);
                let en = format!("the sink {name} is {age} behind");
                lang.t(&en, &format!("输出端 {name} 落后 {age}")).to_owned()
            }
            several => {
                let count = several.len();
                let en = format!("{count} sinks are behind");
                lang.t(&en, &format!("{count} 个输出端落后")).to_owned()
            }
        },
        Fact::SinksWarned(sinks) => match sinks.as_slice() {
            [Warned { name, .. }] => {
                let en = format!("the sink {name} has a warning");
                lang.t(&en, &format!("输出端 {name} 有警告")).to_owned()
            }
            several => {
                let count = several.len();
                let en = format!("{count} sinks have a warning");
                lang.t(&en, &format!("{count} 个输出端有警告")).to_owned()
            }
        },
        Fact::Subscribing { .. } => lang
            .t(
                "connected; subscribing to the topics …",
                "已连接，正在订阅主题……",
            )
            .to_owned(),
        Fact::LinkSilent { since } => {
            let age = lang.between(*since, at);
            let en = format!("no topic has brought a message for {age} beyond its silence");
            lang.t(&en, &format!("所有主题静默超限已 {age}")).to_owned()
        }
        Fact::Silent { count, of, .. } if zh => format!("{of} 个主题中有 {count} 个静默"),
        Fact::Silent { count, of, .. } => {
            let is = lang.plural(*count as u64, "is", "are");
            format!("{count} of {of} topics {is} silent")
        }
        Fact::SnapshotsFailing { count, .. } if zh => format!("{count} 个主题的快照失败"),
        Fact::SnapshotsFailing { count, .. } => match count {
            1 => "the snapshot of 1 topic fails".to_owned(),
            _ => format!("the snapshots of {count} topics fail"),
        },
        Fact::DeadLetters { count, .. } if zh => format!("{} 条死信等待处理", grouped(*count)),
        Fact::DeadLetters { count, .. } => {
            let wait = lang.plural(*count, "dead letter waits", "dead letters wait");
            format!("{} {wait}", grouped(*count))
        }
        Fact::Undecodable { entries } if zh => format!("{} 条消息无法解析", grouped(*entries)),
        Fact::Undecodable { entries } => {
            let messages = lang.plural(*entries, "message", "messages");
            format!("{} {messages} could not be decoded", grouped(*entries))
        }
        Fact::UndecodableRemoved { entries } if zh => {
            format!("{} 条无法解析的消息在处理前已被清除", grouped(*entries))
        }
        Fact::UndecodableRemoved { entries } => format!(
            "{} undecodable {} removed before anybody dealt with them",
            grouped(*entries),
            lang.plural(*entries, "message was", "messages were")
        ),
        Fact::ReloadRejected(_) => lang.t("a reload was rejected", "重载被拒绝").to_owned(),
        Fact::SecretsUnread(_) => lang
            .t(
                "the secrets could not be read again",
                "密钥文件无法重新读取",
            )
            .to_owned(),
        Fact::NothingYet { since, topics } => {
            let age = lang.between(*since, at);
            let zh = format!("已订阅 {topics} 个主题，{age}内尚无消息");
            let noun = lang.plural(*topics as u64, "topic", "topics");
            let en = format!("subscribed to {topics} {noun}; nothing has come for {age}");
            lang.t(&en, &zh).to_owned()
        }
    }
}

fn unheard(count: usize, of: usize, lang: Lang) -> String {
    let is = lang.plural(count as u64, "is", "are");
    let en = format!("{count} of {of} topics {is} not heard");
    lang.t(&en, &format!("{of} 个主题中有 {count} 个收不到消息"))
        .to_owned()
}

fn sinks_clause(waits: Waits, count: u64, lang: Lang) -> String {
    let sinks = lang.plural(count, "sink", "sinks");
    let is = lang.plural(count, "is", "are");
    let (en, zh) = match waits {
        Waits::First => {
            return match lang {
                Lang::En => format!("{count} {sinks} not tried yet …"),
                Lang::Zh => format!("{count} 个输出端尚未连接……"),
            };
        }
        Waits::Attempt => ("retrying", "正在重试"),
        Waits::Pause => ("paused", "已暂停"),
        Waits::Operator => ("disabled", "已停用"),
    };
    lang.t(
        &format!("{count} {sinks} {is} {en}"),
        &format!("{count} 个输出端{zh}"),
    )
    .to_owned()
}

/// Host and port of a URL.
fn host(url: &str) -> String {
    let Ok(parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    let host = parsed.host_str().unwrap_or(url).to_owned();
    match parsed.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// What to do about a fact, or to know of it.
pub(super) fn todo(
    fact: &Fact,
    at: Timestamp,
    full_in_seconds: Option<i64>,
    lang: Lang,
) -> Vec<Todo> {
    let one = |subject: &str, what: String, advice: &str| {
        vec![Todo {
            key: fact.key().to_owned(),
            state: fact.level(),
            subject: subject.to_owned(),
            what,
            advice: advice.to_owned(),
            retry: None,
        }]
    };
    let whole = |advice: &str| one("", ended(&clause(fact, at, lang), lang), advice);
    match fact {
        Fact::JournalFull {
            full: Some(Full::Disk),
            ..
        } => {
            let free = size(FREE_BYTES_AGAIN);
            whole(lang.t(
                &format!("Free some space on the journal's disk: reception goes on by itself once {free} are free."),
                &format!("请在持久日志所在的磁盘上腾出空间：可用空间达到 {free} 后自动恢复接收。"),
            ))
        }
        Fact::JournalFull {
            held_by: Some(sink),
            ..
        } => whole(lang.t(
            &format!("It goes on once the sink {sink} has caught up, which is furthest behind: see what holds it, or raise journal.max_bytes."),
            &format!("积压最多的输出端 {sink} 追上后自动恢复：请查看它的问题，或调大 journal.max_bytes。"),
        )),
        Fact::JournalFull { .. } | Fact::Paused { .. } => whole(lang.t(
            "It goes on once the sinks have caught up: see which one is behind, or raise \
             journal.max_bytes.",
            "输出端追上后自动恢复：请查看哪个输出端积压，或调大 journal.max_bytes。",
        )),
        Fact::Evicted { .. } => whole(lang.t(
            "The journal was full and when_full is drop_oldest: raise journal.max_bytes, or see \
             which sink was behind.",
            "持久日志已满且 when_full 为 drop_oldest：请调大 journal.max_bytes，或查看哪个输出端积压。",
        )),
        Fact::AccountingErrors(errors) => one("", as_it_is(&errors.join("; "), lang), lang.t(
            "This is a mistake of the bridge: please report it, with the log since the last start.",
            "这是网桥自身的错误：请附上自启动以来的日志报告。",
        )),
        Fact::Unconnected { since, trouble, next_attempt, failures, no_sign_in_before, .. } => {
            let trouble = Trouble::of(trouble.as_deref().unwrap_or_default());
            let (said, age) = (trouble.what(lang), lang.between(*since, at));
            let what = match said.is_empty() {
                true => lang.t(&format!("for {age}"), &format!("已 {age}")).to_owned(),
                false => quoted(&said, lang),
            };
            let tried = attempts(*failures, *next_attempt, *no_sign_in_before, at, lang);
            let where_else = lang.t(
                "If it stays away, look at the server, and at source.url.",
                "若一直连不上，请检查服务器和 source.url。",
            );
            let advice = trouble.advice(lang).unwrap_or_else(|| where_else.to_owned());
            one("", what, &after(advice, &tried, lang))
        }
        Fact::Undeliverable(what) => one("", lang.of(what).to_owned(), lang.t(
            "Remove the message at the server, or see its size against source.max_body.",
            "请在服务器上删除该消息，或核对其大小与 source.max_body。",
        )),
        Fact::Refused { topics, count, .. } => {
            let topic = |it: &Unheard| {
                let trouble = Trouble::of(&it.error);
                let age = lang.between(it.since, at);
                let said = quoted(&trouble.what(lang), lang);
                let en = format!("The server refuses the subscription for {age}: {said}.");
                let zh = format!("服务器拒绝订阅已 {age}：{said}。");
                let advice = trouble.advice(lang).unwrap_or_else(|| lang.t(
                    "Let the platform grant the right.",
                    "请在平台上授予读取权限。",
                ).to_owned());
                let missed = lang.t("Statuses of its devices are being missed.", "它的设备状态正在缺失。");
                let again = lang.t("The bridge tries again by itself.", "网桥会自动重试。");
                let advice = after(missed.to_owned(), &after(advice, again, lang), lang);
                one(&it.name, lang.t(&en, &zh).to_owned(), &advice)
            };
            listed(topics, *count, topic, fact, lang)
        }
        Fact::Silent { topics, count, .. } => {
            let topic = |it: &Unheard| {
                let last = it.last_message.map(|last| lang.between(last, at));
                let (en, zh) = match last {
                    Some(age) => (
                        format!("The last message came {age} ago. The subscription stands."),
                        format!("最近一条消息在 {age}前。订阅仍然有效。"),
                    ),
                    None => (
                        "No message has come since the start. The subscription stands.".to_owned(),
                        "启动以来没有消息。订阅仍然有效。".to_owned(),
                    ),
                };
                one(&it.name, lang.t(&en, &zh).to_owned(), lang.t(
                    "The devices may just be quiet. Else ask whether they still send, and to this \
                     destination.",
                    "设备可能只是安静。否则请确认它们仍在发送，且目的地址正确。",
                ))
            };
            listed(topics, *count, topic, fact, lang)
        }
        Fact::LinkSilent { .. } => whole(lang.t(
            "The subscriptions stand; the devices may just be quiet. Else compare the destinations \
             with those that the platform's own page subscribes to.",
            "订阅仍然有效，设备可能只是安静。否则请与平台网页订阅的目的地址核对。",
        )),
        Fact::SinksDown { waits, sinks } => {
            let sinks = sinks.iter();
            let todo = sinks.map(|sink| sink_todo(fact, *waits, sink, at, full_in_seconds, lang));
            todo.collect()
        }
        Fact::Subscribing { .. } => whole(lang.t(
            "Nothing to do: the server has yet to confirm.",
            "无需处理：等待服务器确认。",
        )),
        Fact::SnapshotsFailing { topics, count } => {
            let topic = |it: &NoSnapshot| {
                let trouble = Trouble::of(&it.error);
                let last = it.last_success.map(|last| lang.between(last, at));
                let (en, zh) = match last {
                    Some(age) => (format!("The last good one is {age} old."), format!("最近一次成功的快照在 {age}前。")),
                    None => ("None was taken since the start.".to_owned(), "启动以来没有成功的快照。".to_owned()),
                };
                let what = format!("{}{}", ended(&quoted(&trouble.what(lang), lang), lang), lang.t(&format!(" {en}"), &zh));
                let missed = lang.t(
                    "What changed while the topic was not heard stays unknown. It is asked for again by itself.",
                    "未收听期间的变化仍不清楚。网桥会自动再次请求。",
                );
                let advice = trouble.advice(lang).unwrap_or_default();
                one(&it.name, what, after(advice, missed, lang).trim_start())
            };
            listed(topics, *count, topic, fact, lang)
        }
        Fact::DeadLetters { sinks, .. } => {
            let each: Vec<String> =
                sinks.iter().map(|(name, count)| {
                    let count = grouped(*count);
                    lang.t(&format!("{name}: {count}"), &format!("{name}：{count} 条")).to_owned()
                }).collect();
            one("", ended(&clause(fact, at, lang), lang), lang.t(
                &format!("{}. They hold nothing else up, and stay until somebody decides: see `stomp-bridge dlq list`.", each.join(", ")),
                &format!("{}。它们不阻塞其他事件，在有人处理之前一直保留：请执行 `stomp-bridge dlq list` 查看。", each.join("，")),
            ))
        }
        Fact::Undecodable { .. } => whole(lang.t(
            "They are kept as they came: correct the topic's mapping, reload, then redrive them by \
             `stomp-bridge dlq redrive --undecodable --all`.",
            "原文已保留：修正主题的映射并重载，然后执行 `stomp-bridge dlq redrive --undecodable --all`。",
        )),
        Fact::UndecodableRemoved { .. } => whole(lang.t(
            "They are gone. Correct the topic's mapping before the next ones go, or raise \
             journal.keep or journal.max_bytes.",
            "这些消息已无法找回。请在后续消息被清除前修正主题的映射，或调大 journal.keep 或 journal.max_bytes。",
        )),
        Fact::ReloadRejected(rejected) => one("", problems(rejected, lang), lang.t(
            "The configuration before it is in force. `stomp-bridge check` says what helps: correct \
             the file, then reload.",
            "之前的配置仍然有效。`stomp-bridge check` 会给出办法：请修正文件后重载。",
        )),
        Fact::SecretsUnread(rejected) => one("", problems(rejected, lang), lang.t(
            "The secrets before are used. Correct the file; it is read again by itself.",
            "仍在使用之前的密钥。请修正文件，网桥会自动重新读取。",
        )),
        Fact::SinksBehind(sinks) => {
            let each = sinks.iter().map(|Behind { since, pending, .. }| {
                let wait = lang.plural(*pending, "entry waits", "entries wait");
                let (pending, age) = (grouped(*pending), lang.between(*since, at));
                let en = format!("{pending} {wait}, the oldest for {age}.");
                lang.t(&en, &format!("{pending} 条在等待，最早的已等 {age}。")).to_owned()
            });
            let advice = lang.t(
                "It takes them more slowly than they come, or one device holds it: look whether \
                 the number falls.",
                "它接收的速度低于到达的速度，或者被某台设备卡住：请看该数字是否在下降。",
            );
            each.zip(sinks).flat_map(|(what, sink)| one(&sink.name, what, advice)).collect()
        }
        Fact::SinksWarned(sinks) => {
            let goes_on = lang.t("The sink goes on delivering.", "投递仍在继续。");
            let todo = sinks.iter().map(|Warned { name, warning }| {
                let trouble = Trouble::of(warning);
                // All of it: `status` has no room for it in its table.
                let what = ended(&in_quotes(&trouble.what(lang), lang), lang);
                let advice = trouble.advice(lang);
                let advice = advice.map_or(goes_on.to_owned(), |it| after(it, goes_on, lang));
                one(name, what, &advice)
            });
            todo.flatten().collect()
        }
        Fact::NothingYet { .. } => whole(lang.t(
            "The devices may just be quiet. Else compare the destinations with those that the \
             platform's own page subscribes to, or look by `stomp-bridge tap`.",
            "设备可能只是安静。否则请与平台网页订阅的目的地址核对，或用 `stomp-bridge tap` 查看。",
        )),
    }
}

fn problems(rejected: &RejectedReload, lang: Lang) -> String {
    let problems = rejected.problems.iter().map(|problem| said(problem, lang));
    let problems: Vec<_> = problems.collect();
    as_it_is(&problems.join(lang.t("; ", "；")), lang)
}

/// What is the same in the log: in Chinese it stands in quotes.
fn as_it_is(said: &str, lang: Lang) -> String {
    let zh = format!("“{}”", said.trim_end_matches('.'));
    lang.t(said, &zh).to_owned()
}

/// The steps of the first few topics, and how many more there are.
fn listed<T>(
    topics: &[T],
    count: usize,
    of: impl Fn(&T) -> Vec<Todo>,
    fact: &Fact,
    lang: Lang,
) -> Vec<Todo> {
    let mut todo: Vec<Todo> = topics.iter().flat_map(of).collect();
    if let more @ 1.. = count.saturating_sub(topics.len()) {
        todo.push(Todo {
            key: fact.key().to_owned(),
            state: fact.level(),
            subject: String::new(),
            what: lang
                .t(
                    &format!(
                        "{more} more {}.",
                        lang.plural(more as u64, "topic", "topics")
                    ),
                    &format!("另有 {more} 个主题。"),
                )
                .to_owned(),
            advice: lang
                .t("See the list of topics.", "请查看主题列表。")
                .to_owned(),
            retry: None,
        });
    }
    todo
}

fn sink_todo(
    fact: &Fact,
    waits: Waits,
    sink: &Down,
    at: Timestamp,
    full_in_seconds: Option<i64>,
    lang: Lang,
) -> Todo {
    let (age, pending) = (lang.between(sink.since, at), grouped(sink.pending));
    let trouble = Trouble::of(sink.trouble.as_deref().unwrap_or_default());
    let said = match trouble.what(lang) {
        said if said.is_empty() => String::new(),
        said => quoted(&said, lang),
    };
    let keeps = match full_in_seconds {
        Some(seconds) if sink.pending > 0 => {
            let left = lang.age(seconds);
            lang.t(
                &format!("; the journal has room for about {left} more"),
                &format!("；持久日志还能容纳约 {left}"),
            )
            .to_owned()
        }
        _ => String::new(),
    };
    let entries = lang.plural(sink.pending, "entry waits", "entries wait");
    let what = match lang {
        Lang::En if said.is_empty() => format!("Not up for {age}. {pending} {entries}{keeps}."),
        Lang::En => format!("{said}, for {age}. {pending} {entries}{keeps}."),
        Lang::Zh if said.is_empty() => format!("未就绪已 {age}。{pending} 条待处理{keeps}。"),
        Lang::Zh => format!("{said}，已 {age}。{pending} 条待处理{keeps}。"),
    };
    let is_later = |next: &Timestamp| next.duration_since(at).as_secs() > 0;
    let next = sink.next_attempt.filter(is_later);
    let next = next.map(|next| lang.between(at, next));
    let next = next.map_or(String::new(), |next| {
        lang.t(
            &format!("Next attempt in {next}, or now."),
            &format!("{next}后重试，也可立即重试。"),
        )
        .to_owned()
    });
    // The code that made the error knows best what to do about it.
    let known = trouble.advice(lang).filter(|_| waits != Waits::First);
    let advice = match known {
        Some(advice) => after(advice, keeps_all(waits, lang), lang),
        None => unknown_advice(waits, lang).to_owned(),
    };
    Todo {
        key: fact.key().to_owned(),
        state: fact.level(),
        subject: sink.name.to_string(),
        what,
        advice: after(advice, &next, lang),
        retry: (waits != Waits::First).then(|| sink.name.to_string()),
    }
}

/// What becomes of a sink's events until somebody has followed the advice.
fn keeps_all(waits: Waits, lang: Lang) -> &'static str {
    match (waits, lang) {
        (Waits::Operator, Lang::En) => "Then reload, or retry it. All its events wait, in order.",
        (Waits::Operator, Lang::Zh) => "然后重载，或手动重试。全部事件按顺序等待。",
        (_, Lang::En) => "All its events wait, in order.",
        (_, Lang::Zh) => "全部事件按顺序等待。",
    }
}

/// What to do where the error does not say it.
fn unknown_advice(waits: Waits, lang: Lang) -> &'static str {
    let (en, zh) = match waits {
        Waits::First => ("Nothing to do: it is being tried.", "无需处理：正在连接。"),
        Waits::Attempt => (
            "Nothing to do while its other side restarts: all its events wait, in order.",
            "若对方正在重启则无需处理：全部事件按顺序等待。",
        ),
        Waits::Pause => (
            "Correct what it rejects, then redrive its dead letters. All its events wait, in order.",
            "请修正被拒绝的原因，然后重新投递死信。全部事件按顺序等待。",
        ),
        Waits::Operator => (
            "Its other side wants nothing more: correct or remove the sink and reload, or retry it.",
            "对方不再接收：请修正或移除该输出端并重载，或手动重试。",
        ),
    };
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

/// Two sentences, of which one may be empty.
fn after(first: String, second: &str, lang: Lang) -> String {
    match second {
        "" => first,
        second => format!("{first}{}{second}", lang.t(" ", "")),
    }
}

/// How often it was tried, and when it is tried again.
fn attempts(
    failures: u32,
    next_attempt: Option<Timestamp>,
    no_sign_in_before: Option<Timestamp>,
    at: Timestamp,
    lang: Lang,
) -> String {
    if let Some(until) = no_sign_in_before.filter(|until| *until > at) {
        let left = lang.between(at, until);
        return lang.t(
            &format!("No sign-in for {left}, so that the platform does not lock the account: correct source.signin and reload."),
            &format!("{left}内不再登录，以免平台锁定账号：请修正 source.signin 后重载。"),
        ).to_owned();
    }
    let next = next_attempt.map(|next| lang.between(at, next));
    let next = next.map_or_else(
        || lang.t("It is being tried.", "正在尝试。").to_owned(),
        |next| {
            lang.t(
                &format!("Next attempt in {next}."),
                &format!("{next}后重试。"),
            )
            .to_owned()
        },
    );
    let failed = match failures {
        0 => String::new(),
        failures => {
            let noun = lang.plural(failures.into(), "attempt", "attempts");
            lang.t(
                &format!("{failures} {noun} failed. "),
                &format!("已失败 {failures} 次。"),
            )
            .to_owned()
        }
    };
    format!("{failed}{next}")
}

fn quoted(said: &str, lang: Lang) -> String {
    in_quotes(&beginning(said, QUOTED_CHARS_MAX), lang)
}

fn in_quotes(said: &str, lang: Lang) -> String {
    let said = said.trim_end_matches('.');
    lang.t(&format!("\"{said}\""), &format!("“{said}”"))
        .to_owned()
}

fn ended(clause: &str, lang: Lang) -> String {
    let clause = capital(clause);
    match clause.ends_with('…') {
        true => clause,
        false => format!("{clause}{}", lang.t(".", "。")),
    }
}

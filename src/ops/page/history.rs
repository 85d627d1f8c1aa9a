//! What pages ask a history, one after the other: each look is bounded, and what it says instead of an
//! answer is in the reader's language.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::failure::slow;
use crate::ops::lang::Lang;
use crate::ops::trouble::said;
use crate::secret::redact;
use crate::sinks::Look;
use crate::sinks::history::reader::ReadError;

/// Pages that look into the history at once.
static LOOKS: Semaphore = Semaphore::const_new(2);

/// A page waits for the others this long.
const TURN_TIMEOUT: Duration = Duration::from_secs(3);

/// What is asked of a history, once it is this page's turn.
///
/// # Errors
/// Why there is no answer, in words for a person.
pub(super) async fn asked<T>(
    look: &Look,
    lang: Lang,
    asked: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, String> {
    let turn = timeout(TURN_TIMEOUT, LOOKS.acquire()).await;
    let Some(_turn) = turn.ok().and_then(Result::ok) else {
        let en = "others ask the history too: try again";
        return Err(lang.t(en, "历史库正忙：请重试").to_owned());
    };
    let found = look.within_its_time(asked).await;
    found.map_err(|error| format!("{}: {}", look.name(), words(&error, lang)))
}

/// What the database itself says is not translated.
fn words(error: &ReadError, lang: Lang) -> String {
    let (en, zh) = match error {
        ReadError::Missing(_) => (
            "it has no file yet: the sink makes it when it stores its first status",
            "尚无文件：输出端存储第一条状态时创建",
        ),
        ReadError::Denied(_) => (
            "the daemon may not read its file",
            "守护进程无权读取它的文件",
        ),
        ReadError::Unshared(_) => (
            "the daemon may not make the -shm file that its -wal is read with",
            "守护进程无权创建读取 -wal 所需的 -shm 文件",
        ),
        ReadError::Changed(_) | ReadError::Replaced(_) => (
            "it was changed while it was read: try again",
            "读取期间它被修改：请重试",
        ),
        ReadError::Foreign(_) => ("it lacks the views of this version", "缺少当前版本的视图"),
        ReadError::Slow(_, limit) => return slow(*limit, lang),
        ReadError::Failed { why, .. } => return said(&redact(why), lang).into_owned(),
    };
    lang.t(en, zh).to_owned()
}

//! The last states of devices, as the writer needs them: read again from the log at the start, and
//! looked up before a status is compared.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::info;

use super::Writer;
use crate::journal::last_states::{Met, Resolved};
use crate::journal::{Error, NewEntry, last_state_rows};
use crate::model::Via;
use crate::pipeline::StatusKey;

impl Writer {
    /// Brings the last states up to date with the log: after a crash the table may be behind it.
    /// `key_of` gives the stream and the key of a status from its topic and its own bytes; `None`:
    /// nobody can say, such as of a topic that is no longer there. Where this is not called, the
    /// table stays as it is, and the entries that it lacks stay too.
    ///
    /// Writes nothing: what was read again waits until the writer runs, which waits for a full disk.
    /// That is what one second has brought, or a little more.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn catch_up(
        &mut self,
        key_of: impl Fn(&str, Via, &[u8]) -> Option<(Arc<str>, StatusKey)>,
    ) -> Result<(), Error> {
        let Some(mut reached) = self.last_states.catch_up() else {
            return Ok(());
        };
        let from = reached;
        loop {
            let logged = last_state_rows::statuses_after(&mut self.connection, reached).await?;
            let Some(last) = logged.last() else { break };
            reached = last.position;
            let keys = logged.iter().map(|status| {
                key_of(&status.topic, status.via, &status.body)
                    .map(|(stream, key)| (stream, key, status.received_at))
            });
            let keys: Vec<_> = keys.flatten().collect();
            self.look_up(keys.iter().map(|(stream, key, _)| (stream, key)))
                .await?;
            for (stream, key, at) in keys {
                self.last_states.learn_again(stream, key, at);
            }
            self.last_states.bound_memory();
        }
        self.due.waits(Instant::now());
        let devices = self.last_states.size().rows;
        self.state
            .tell_devices(&mut self.last_states, 0, Met::default());
        info!(
            after = from.0,
            head = self.state.head().0,
            devices,
            "last states read again from the log"
        );
        Ok(())
    }

    /// Gives the group's entries their positions, and compares them with their devices' last
    /// states.
    pub(super) async fn resolve(&mut self, entries: Vec<NewEntry>) -> Result<Resolved, Error> {
        let statuses = entries.iter().filter_map(|entry| entry.content.status());
        self.look_up(statuses).await?;
        Ok(self.last_states.resolve(self.head, entries))
    }

    /// Has the last states of these statuses' devices in memory, as far as there are any.
    async fn look_up<'a>(
        &mut self,
        statuses: impl Iterator<Item = (&'a Arc<str>, &'a StatusKey)>,
    ) -> Result<(), Error> {
        let unknown = self.last_states.unknown(statuses);
        if !unknown.is_empty() {
            let found = last_state_rows::find(&mut self.connection, &unknown).await?;
            self.last_states.found(found);
        }
        Ok(())
    }
}

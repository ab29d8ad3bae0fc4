//! How far a consumer's effects reach, in the transaction of the effects.
//!
//! A batch of messages is accepted if it begins where the last one ended:
//!
//! | stored | batch from..to | |
//! |---|---|---|
//! | nothing | 5..8 | accepted: the first batch of a group |
//! | 8 | 8..12 | accepted |
//! | 8 | 5..8 | refused: its effects stand already |
//! | 8 | 6..12 | refused: overlaps |
//! | 8 | 9..12 | refused: 8 is missing |
//!
//! Whoever is refused with `stored` at its own end, perhaps because the answer to its
//! COMMIT was lost, knows that the effects stand.

use mysql_async::Transaction;
use mysql_async::prelude::Queryable;

use crate::catalogue::{Catalogue, scalar};
use crate::error::CatalogueError;

/// A batch of messages of one partition, whose effects are to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalAdvance {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset of the first message.
    pub from: i64,
    /// Offset after the last message.
    pub to: i64,
}

impl Catalogue {
    /// The next offset of a partition, if the group has written effects of it.
    pub async fn journal(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Option<i64>, CatalogueError> {
        self.restarting("read the journal", || async {
            let mut conn = self.conn().await?;
            let query = "SELECT next_offset FROM consumer_journal \
                         WHERE consumer_group=? AND topic=? AND partition_no=?";
            let params = (group, topic, partition);
            scalar(&mut conn, "read the journal", query, params).await
        })
        .await
    }
}

pub(crate) async fn advance(
    tx: &mut Transaction<'_>,
    batch: &JournalAdvance,
) -> Result<(), CatalogueError> {
    let JournalAdvance {
        group,
        topic,
        partition,
        from,
        to,
    } = batch;
    let query = "SELECT next_offset FROM consumer_journal \
                 WHERE consumer_group=? AND topic=? AND partition_no=? FOR UPDATE";
    let params = (group, topic, partition);
    let stored: Option<i64> = scalar(tx, "read the journal", query, params).await?;
    if let Some(stored) = stored.filter(|stored| stored != from) {
        return Err(CatalogueError::Journal {
            group: group.clone(),
            topic: topic.clone(),
            partition: *partition,
            stored,
            from: *from,
        });
    }
    // Two first batches at one time: the second insert meets the first's row (1062),
    // restarts, and is then compared with it.
    let query = match stored {
        None => {
            "INSERT INTO consumer_journal (next_offset,consumer_group,topic,partition_no) \
             VALUES (?,?,?,?)"
        }
        Some(_) => {
            "UPDATE consumer_journal SET next_offset=?,updated_at=NOW(6) \
             WHERE consumer_group=? AND topic=? AND partition_no=?"
        }
    };
    tx.exec_drop(query, (to, group, topic, partition))
        .await
        .map_err(CatalogueError::server("write the journal"))
}

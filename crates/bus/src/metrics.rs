//! Names of the metrics that this crate counts, with their descriptions.

use metrics::{describe_counter, describe_gauge};

/// Messages received, by topic and group.
pub const RECEIVED: &str = "aquifer_bus_received_total";
/// Messages done, by topic and group.
pub const DONE: &str = "aquifer_bus_done_total";
/// Completions that came after the partition was taken away, by topic and group.
pub const FENCED: &str = "aquifer_bus_fenced_total";
/// Messages dropped unfinished, by topic and group.
pub const DROPPED: &str = "aquifer_bus_dropped_total";
/// Messages received and not yet done, by group.
pub const IN_FLIGHT: &str = "aquifer_bus_in_flight";
/// Commits of offsets that failed, by group.
pub const COMMIT_FAILURES: &str = "aquifer_bus_commit_failures_total";
/// Messages published and confirmed, by topic.
pub const PUBLISHED: &str = "aquifer_bus_published_total";
/// Messages whose publication failed, by topic.
pub const PUBLISH_FAILURES: &str = "aquifer_bus_publish_failures_total";
/// Messages sent to the dead letters, by topic and reason.
pub const BURIED: &str = "aquifer_dead_letters_total";
/// Announcements that the relay published and deleted from the outbox.
pub const RELAY_PUBLISHED: &str = "aquifer_relay_published_total";
/// Announcements that the brokers refuse and no retry can help.
pub const RELAY_REFUSED: &str = "aquifer_relay_refused_total";
/// Announcements of the last batch: as many as the limit means that more are waiting.
pub const RELAY_BACKLOG: &str = "aquifer_relay_backlog";
/// Age of the oldest announcement that waits.
pub const RELAY_OLDEST: &str = "aquifer_relay_oldest_age_seconds";
/// 1 while this process holds the lease of the relay.
pub const RELAY_LEADER: &str = "aquifer_relay_leader";

/// Tells the recorder what the metrics mean.
pub fn describe() {
    describe_counter!(RECEIVED, "Messages received, by topic and group");
    describe_counter!(DONE, "Messages done, by topic and group");
    describe_counter!(FENCED, "Completions after the partition was taken away");
    describe_counter!(
        DROPPED,
        "Messages dropped unfinished; each holds its partition"
    );
    describe_gauge!(IN_FLIGHT, "Messages received and not yet done, by group");
    describe_counter!(COMMIT_FAILURES, "Commits of offsets that failed, by group");
    describe_counter!(PUBLISHED, "Messages published and confirmed, by topic");
    describe_counter!(
        PUBLISH_FAILURES,
        "Messages whose publication failed, by topic"
    );
    describe_counter!(
        BURIED,
        "Messages sent to the dead letters, by topic and reason"
    );
    describe_counter!(
        RELAY_PUBLISHED,
        "Announcements published and taken out of the outbox"
    );
    describe_counter!(
        RELAY_REFUSED,
        "Announcements that the brokers refuse for good"
    );
    describe_gauge!(
        RELAY_BACKLOG,
        "Announcements found waiting by the last look"
    );
    describe_gauge!(
        RELAY_OLDEST,
        metrics::Unit::Seconds,
        "Age of the oldest announcement that waits"
    );
    describe_gauge!(
        RELAY_LEADER,
        "1 while this process holds the lease of the relay"
    );
}

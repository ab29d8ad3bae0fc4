//! MariaDB: migrations, typed queries, state machines, work, outbox.

//! Publishes the outbox of the catalogue on the bus, under a lease.

//! The ingester: closed run files from the buffer into storage and catalogue.

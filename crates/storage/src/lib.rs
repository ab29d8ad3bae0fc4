//! Storage elements behind one trait: S3, POSIX.

//! One pass over the bytes, many checksums; seals.

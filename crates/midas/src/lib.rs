//! MIDAS run files: streaming reader and writer.

//! The messages from outside: what the codec promises, and that old bytes stay readable.

#[cfg(test)]
mod codec;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod samples;

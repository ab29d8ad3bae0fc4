//! The bus against librdkafka's mock cluster: no broker is needed. What the mock cannot
//! do (topics' settings, compaction, restarts) is tested against a real one elsewhere.

#[cfg(test)]
mod groups;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod world;

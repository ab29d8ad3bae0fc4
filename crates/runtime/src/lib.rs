//! Process life: configuration, telemetry, health, signals, drain, retry.

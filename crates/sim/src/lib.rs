//! Simulated detectors that know the truth.

//! Runs tasks: the only place that spawns.

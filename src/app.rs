//! Builds the parts, owns the task tree and the stop order.

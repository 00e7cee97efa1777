//! Metric names and closed label sets, the exporter, the decision record.

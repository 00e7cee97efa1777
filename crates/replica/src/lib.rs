//! Consensus: openraft, the log store, snapshots, shards.

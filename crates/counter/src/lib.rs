//! The counter service: gRPC front of the replicas.

//! Generated protobuf types of Quotum's gRPC services.

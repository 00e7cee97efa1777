//! Generated protobuf types of Quotum's gRPC services, and their conversions to and from the
//! decision core. Nothing else.

#[allow(clippy::all, clippy::pedantic, unreachable_pub, missing_docs)]
mod generated {
    pub mod counter {
        tonic::include_proto!("quotum.counter.v1");
        pub use crate::request::DecideRequest;
    }
    pub mod registry {
        tonic::include_proto!("quotum.registry.v1");
    }
    pub mod cluster {
        tonic::include_proto!("quotum.cluster.v1");
    }
    pub mod peer {
        tonic::include_proto!("quotum.peer.v1");
    }
    // Generated code names types of other packages by their whole path.
    pub mod envoy {
        pub mod service {
            pub mod ratelimit {
                pub mod v3 {
                    tonic::include_proto!("envoy.service.ratelimit.v3");
                }
            }
        }
        pub mod extensions {
            pub mod common {
                pub mod ratelimit {
                    pub mod v3 {
                        tonic::include_proto!("envoy.extensions.common.ratelimit.v3");
                    }
                }
            }
        }
        pub mod r#type {
            pub mod v3 {
                tonic::include_proto!("envoy.r#type.v3");
            }
        }
        pub mod config {
            pub mod core {
                pub mod v3 {
                    tonic::include_proto!("envoy.config.core.v3");
                }
            }
        }
    }
    pub mod kuadrant {
        pub mod service {
            pub mod ratelimit {
                pub mod v1 {
                    tonic::include_proto!("kuadrant.service.ratelimit.v1");
                }
            }
        }
    }
}

/// The files of `proto/`, encoded as a `google.protobuf.FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod backup;
mod convert;
mod decided;
mod request;

pub use convert::{ConvertError, command_to_wire, items_from_wire};
pub use decided::Decided;
pub use generated::{cluster, counter, envoy, kuadrant, peer, registry};
/// Google's well-known types, which Envoy's messages contain.
pub use prost_types as well_known;
pub use request::Commands;

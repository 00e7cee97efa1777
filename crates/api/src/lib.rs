//! Generated protobuf types of Quotum's gRPC services, and their conversions to and from the
//! decision core. Nothing else.

#[allow(clippy::all, clippy::pedantic, unreachable_pub, missing_docs)]
mod generated {
    pub mod counter {
        tonic::include_proto!("quotum.counter.v1");
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
}

mod convert;

pub use convert::{ConvertError, command_to_wire, items_from_wire};
pub use generated::{cluster, counter, peer, registry};

//! Connections between processes: TLS, who is at the other end, and the bounds of all of it.
//!
//! Promises: TLS 1.3 between our own processes; what is shown and believed can be replaced while
//! connections go on, and what does not hold together is never taken; every connection has
//! deadlines and every port has room for so many. Reads no file, and knows nothing of what is
//! served.
//!
//! # Layout
//! * [`credentials`]: certificates, keys and authorities as rustls takes them, replaceable.
//! * [`certificate`]: what a certificate says. [`caller`]: who is at the other end.
//! * [`accept`]: connections that come in. [`serve`]: gRPC on them. [`connect`]: those that go out.
//!   [`direct`]: calls that are answered without tonic. [`due`]: a request that has to be there in
//!   time. [`prompt`]: a connection that has to speak. [`gather`]: one that writes together.
//! * [`limits`]: the named maximum of everything here.

pub mod accept;
pub mod caller;
pub mod certificate;
pub mod connect;
pub mod credentials;
pub mod direct;
mod due;
mod gather;
pub mod limits;
mod prompt;
pub mod serve;
#[cfg(test)]
mod tests;

pub use accept::{Acceptor, Bounds, Permit, Secured, Security};
pub use caller::{Caller, Role};
pub use connect::Connector;
pub use credentials::{Credentials, CredentialsError, Ends, Material};
pub use direct::Calls;
pub use serve::{Form, Services, serve};

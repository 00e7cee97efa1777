//! What an operator decides about a gateway.

/// Which names the gateway answers under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: something in front of the gateway checks the `Host`.
    Any,
    /// These, with the port where it is not the default one.
    Only(Vec<String>),
}

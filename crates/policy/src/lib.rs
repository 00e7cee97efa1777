//! The policy document: parse, validate, compile, decide. Pure.

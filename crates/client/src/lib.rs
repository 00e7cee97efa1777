//! The client of the counter service: leader routing, request ids, retries.

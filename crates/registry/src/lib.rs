//! Servers, grants and policies as replicated state. Pure.

//! The house rules, held by the tests beside this file.

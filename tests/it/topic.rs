//! Matching against a naive oracle.

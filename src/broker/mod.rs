//! The sans-IO reference broker.

pub mod auth;
pub mod passwords;
pub mod policy;

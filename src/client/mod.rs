//! The sans-IO reference client.

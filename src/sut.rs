//! The system under test: reference, address, managed process.

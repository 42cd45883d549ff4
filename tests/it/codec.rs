//! The codec: golden bytes written by hand, properties of arbitrary packets and bytes, the refusals rule by rule, and an
//! independent dissector.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arbitrary;
mod dissector;
mod golden;
mod properties;
mod refusals;

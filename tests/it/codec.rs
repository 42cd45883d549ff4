//! Golden bytes, properties and an independent dissector.

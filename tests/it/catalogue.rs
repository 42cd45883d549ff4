//! The catalogue is whole and every citation known.

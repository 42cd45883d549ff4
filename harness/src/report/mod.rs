//! Reports: consumers of the runner's events, nothing else.

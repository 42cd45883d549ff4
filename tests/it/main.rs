//! One integration binary: behaviour through bytes, verdicts and the command line.

mod broker;
mod catalogue;
mod cli;
mod client;
mod codec;
mod conformance;
mod foreign;
mod hollow;
mod net;
mod serve;
mod tidy;
mod tools;
mod topic;

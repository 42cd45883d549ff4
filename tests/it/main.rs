//! One integration binary: behaviour through bytes, verdicts and the command line.

mod broker;
mod brokers;
#[cfg(feature = "net")]
mod browser;
#[cfg(feature = "net")]
mod bystander;
mod catalogue;
#[cfg(feature = "net")]
mod cli;
mod client;
mod codec;
#[cfg(feature = "net")]
mod conformance;
mod coverage;
#[cfg(feature = "net")]
mod fleet;
mod fleet_breaches;
#[cfg(feature = "net")]
mod fleet_goodbye;
mod fleet_habits;
mod fleet_links;
#[cfg(feature = "net")]
mod fleet_live;
mod fleet_properties;
#[cfg(feature = "net")]
mod fleet_report;
mod fleet_scenarios;
#[cfg(feature = "net")]
mod fleet_target;
#[cfg(feature = "net")]
mod foreign;
mod freedoms;
mod hollow;
mod link;
mod malformed;
mod manners;
#[cfg(feature = "net")]
mod mortal;
mod mutants;
mod net;
mod other_suites;
#[cfg(feature = "net")]
mod regression;
#[cfg(feature = "net")]
mod serve;
mod served;
mod setups;
#[cfg(feature = "net")]
mod slow_login;
mod tidy;
mod tools;
mod topic;

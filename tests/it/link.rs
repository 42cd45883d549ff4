//! Links: the model of a bad one against a real kernel, and what must hold under any weather.

#[cfg(feature = "net")]
mod command;
#[cfg(all(feature = "net", target_os = "linux"))]
mod kernel;
#[cfg(all(feature = "net", target_os = "linux"))]
mod rig;
mod thin;
mod validation;
mod weather;

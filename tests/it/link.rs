//! Links: the model of a bad one against a real kernel, and what must hold under any weather.

mod thin;
mod validation;
mod weather;

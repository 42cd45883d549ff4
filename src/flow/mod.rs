//! What either end of a connection owes the other, whichever end it is: the handshakes of QoS 1 and 2, packet
//! identifiers, the quotas of receive maximum, and topic aliases.
//!
//! [`Outbound`] is the sender's half of the handshakes and [`Inbound`] the receiver's; both are session state and
//! outlive a connection. [`AliasesIn`] and [`AliasesOut`] die with it. Nothing here reads or writes bytes, knows which
//! side it serves, or keeps time: on a live connection nothing is ever sent again (4.4 of 5.0), so there are no timers.

mod alias;
mod inbound;
mod outbound;

pub use alias::{Alias, AliasError, AliasesIn, AliasesOut};
pub use inbound::{Inbound, ReceiveMaximumExceeded, Taken};
pub use outbound::{Outbound, Repeat, Stray};

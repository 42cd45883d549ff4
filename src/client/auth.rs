//! Enhanced authentication (4.12 of 5.0), from the client's side.

use harness::node::Work;

/// What a method has to say to a challenge.
pub enum Reply {
    /// This data.
    Data(Vec<u8>),
    /// It takes long to work out: the driver does it elsewhere, and [`Authenticator::worked`] gets the result.
    Slow(Work),
}

/// One method of enhanced authentication, such as SCRAM-SHA-256. The client carries its data in CONNECT and AUTH and
/// reads the server's from AUTH and CONNACK; what the data means is the method's own business.
pub trait Authenticator: Send {
    /// Its name in the Authentication Method property.
    fn method(&self) -> &str;

    /// Begins an exchange, forgetting any earlier one: the data of CONNECT, or of the AUTH that re-authenticates.
    /// `None` where the server speaks first.
    fn begin(&mut self) -> Option<Vec<u8>>;

    /// Answers the data of an AUTH with reason Continue authentication.
    ///
    /// # Errors
    /// In words, where the data is not to be answered; the connection is then closed.
    fn answer(&mut self, challenge: &[u8]) -> Result<Reply, String>;

    /// The data to send once the work of [`Reply::Slow`] is done: its result, unless the method says otherwise.
    ///
    /// # Errors
    /// As [`Authenticator::answer`].
    fn worked(&mut self, result: &[u8]) -> Result<Vec<u8>, String> {
        Ok(result.to_vec())
    }

    /// Judges the data that came with success, in CONNACK or AUTH; empty where none came.
    ///
    /// # Errors
    /// In words, where the server has not proved itself; the connection is then closed.
    fn finish(&mut self, proof: &[u8]) -> Result<(), String>;
}

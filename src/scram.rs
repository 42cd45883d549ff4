//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the stored verifier, the server's side and the client's side of one exchange.
//!
//! Sans-IO; nonces are handed in. Absent: channel binding (`SCRAM-SHA-256-PLUS`) and authorization identities, which
//! MQTT has no use for.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The name of the mechanism, as the Authentication Method of CONNECT and AUTH and at the head of a verifier.
pub const METHOD: &str = "SCRAM-SHA-256";

/// Random bytes each side contributes to an exchange.
pub type Nonce = [u8; 18];

/// The longest message either side reads, in bytes; MQTT itself allows 65,535.
const MESSAGE_MAX: usize = 4096;

/// The iteration counts that are accepted: fewer are too cheap to guess against (RFC 7677, 4), more would let the other
/// side waste our time.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// The iterations of a new verifier.
const ITERATIONS_OF_NEW: u32 = 4096;

type Key = [u8; 32];

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The other side sent no message of this mechanism, or one that asks for what is not supported.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The other side does not know the password (or, seen from the client, the verifier).
    #[error("the proof is wrong")]
    WrongProof,
}

/// What a server stores of a password: enough to check a proof, not enough to give one.
/// Its text form is `SCRAM-SHA-256$iterations:salt$stored-key:server-key`, as in RFC 5803 and PostgreSQL.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// The verifier of a new password. Slow.
    pub fn new(password: &[u8], salt: &[u8]) -> Self {
        Self::with_iterations(password, salt, ITERATIONS_OF_NEW)
    }

    fn with_iterations(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted(password, salt, iterations);
        let stored_key = hash(&mac(&salted, &[b"Client Key"]));
        Self { iterations, salt: salt.into(), stored_key, server_key: mac(&salted, &[b"Server Key"]) }
    }

    /// Whether this is the password, as CONNECT carries it in the clear. Slow; takes the same time either way.
    pub fn matches(&self, password: &[u8]) -> bool {
        let other = Self::with_iterations(password, &self.salt, self.iterations);
        bool::from(self.stored_key.ct_eq(&other.stored_key))
    }

    /// A verifier for a user that does not exist, which looks like this one and fits no password. It is the same each
    /// time, so that asking twice tells nothing.
    pub fn decoy(&self, username: &str) -> Self {
        let salt = mac(&self.server_key, &[b"decoy salt", username.as_bytes()]);
        let key = mac(&self.server_key, &[b"decoy key", username.as_bytes()]);
        let salt = salt.iter().copied().cycle().take(self.salt.len()).collect();
        Self { iterations: self.iterations, salt, stored_key: key, server_key: key }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iterations, salt, stored_key, server_key } = self;
        let [salt, stored, server] = [&**salt, stored_key, server_key].map(|bytes| BASE64.encode(bytes));
        write!(f, "{METHOD}${iterations}:{salt}${stored}:{server}")
    }
}

impl fmt::Debug for Verifier {
    /// Keeps the keys to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} iterations)", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "a SCRAM verifier is `SCRAM-SHA-256$iterations:salt$stored-key:server-key` in base64";
        let key = |text: &str| Key::try_from(BASE64.decode(text).ok()?).ok();
        let parse = || {
            let (cost, keys) = text.strip_prefix(METHOD)?.strip_prefix('$')?.split_once('$')?;
            let (iterations, salt) = cost.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            Some(Self {
                iterations: iterations.parse().ok()?,
                salt: BASE64.decode(salt).ok()?.into(),
                stored_key: key(stored)?,
                server_key: key(server)?,
            })
        };
        let verifier = parse().ok_or(SHAPE)?;
        if !ITERATIONS.contains(&verifier.iterations) {
            return Err("a SCRAM verifier takes 4,096 to 1,000,000 iterations");
        }
        Ok(verifier)
    }
}

/// The server's side, after the client's first message.
#[derive(Clone, Debug)]
pub struct Server {
    username: Box<str>,
    verifier: Verifier,
    /// The channel binding field the client must repeat.
    binding: String,
    nonce: String,
    /// What both sides sign, without the client's last message.
    transcript: String,
}

impl Server {
    /// Reads the client's first message and answers it. `lookup` gives the verifier of a user name; for an unknown one it
    /// gives a [`Verifier::decoy`], so that the failure comes where a wrong password has it. `None` fails at once.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn start(
        message: &[u8],
        nonce: &Nonce,
        lookup: impl FnOnce(&str) -> Option<Verifier>,
    ) -> Result<(Self, Vec<u8>), Failure> {
        let message = text(message)?;
        // RFC 5802, 7: gs2-cbind-flag "," [authzid] "," then the bare message that is signed.
        let bare = message
            .strip_prefix("n,,")
            .or_else(|| message.strip_prefix("y,,"))
            .ok_or(Failure::Malformed("channel binding or an authorization identity is asked for"))?;
        let mut fields = bare.split(',');
        let username = unescape(field(&mut fields, "n=")?)?;
        let client_nonce = field(&mut fields, "r=")?;
        if client_nonce.is_empty() {
            return Err(Failure::Malformed("empty nonce"));
        }
        let verifier = lookup(&username).ok_or(Failure::WrongProof)?;
        let nonce = format!("{client_nonce}{}", BASE64.encode(nonce));
        let answer = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let server = Self {
            username: username.into(),
            verifier,
            binding: BASE64.encode(&message[..message.len() - bare.len()]),
            nonce,
            transcript: format!("{bare},{answer}"),
        };
        Ok((server, answer.into_bytes()))
    }

    /// The name the client gave itself.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Reads the client's last message. If it proves the password, gives the server's own proof, to be sent back.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn finish(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Failure::Malformed("no proof"))?;
        let mut fields = without_proof.split(',');
        if field(&mut fields, "c=")? != self.binding {
            return Err(Failure::Malformed("the channel binding differs from the first message's"));
        }
        if field(&mut fields, "r=")? != self.nonce {
            return Err(Failure::Malformed("the nonce is not the one given"));
        }
        let proof = decode_key(proof)?;
        let signed: [&[u8]; 3] = [self.transcript.as_bytes(), b",", without_proof.as_bytes()];
        let client_key = xor(&proof, &mac(&self.verifier.stored_key, &signed));
        if !bool::from(hash(&client_key).ct_eq(&self.verifier.stored_key)) {
            return Err(Failure::WrongProof);
        }
        Ok(format!("v={}", BASE64.encode(mac(&self.verifier.server_key, &signed))).into_bytes())
    }
}

/// The client's side: [`Client::first`] goes out with CONNECT, [`Client::answer`] takes the server's challenge, and
/// [`Client::confirm`] its proof.
#[derive(Clone)]
pub struct Client {
    password: Box<[u8]>,
    bare: String,
    nonce: String,
    /// What the server will have signed, once it is known.
    expected: Option<Key>,
}

impl fmt::Debug for Client {
    /// Keeps the password to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.bare)
    }
}

impl Client {
    /// The side that knows this password.
    pub fn new(username: &str, password: &[u8], nonce: &Nonce) -> Self {
        let username = stringprep::saslprep(username).unwrap_or(Cow::Borrowed(username));
        let nonce = BASE64.encode(nonce);
        let bare = format!("n={},r={nonce}", username.replace('=', "=3D").replace(',', "=2C"));
        Self { password: password.into(), bare, nonce, expected: None }
    }

    /// The first message.
    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// Proves the password to the server's challenge. Slow: the server chooses how slow, up to 1,000,000 iterations.
    ///
    /// # Errors
    /// [`Failure::Malformed`], also for an iteration count out of range.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Failure> {
        let challenge = text(challenge)?;
        let mut fields = challenge.split(',');
        let nonce = field(&mut fields, "r=")?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(Failure::Malformed("the nonce does not extend ours"));
        }
        let salt = BASE64.decode(field(&mut fields, "s=")?).map_err(|_| Failure::Malformed("the salt is no base64"))?;
        let iterations = field(&mut fields, "i=")?.parse().ok().filter(|count| ITERATIONS.contains(count));
        let iterations = iterations.ok_or(Failure::Malformed("iterations out of range"))?;

        let salted = salted(&self.password, &salt, iterations);
        let without_proof = format!("c={},r={nonce}", BASE64.encode("n,,"));
        let signed = [self.bare.as_bytes(), b",", challenge.as_bytes(), b",", without_proof.as_bytes()];
        let client_key = mac(&salted, &[b"Client Key"]);
        let proof = xor(&client_key, &mac(&hash(&client_key), &signed));
        self.expected = Some(mac(&mac(&salted, &[b"Server Key"]), &signed));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }

    /// Checks that the server knows the verifier, not just the words.
    ///
    /// # Errors
    /// [`Failure`]; also when nothing has been answered yet.
    pub fn confirm(&self, message: &[u8]) -> Result<(), Failure> {
        let expected = self.expected.ok_or(Failure::Malformed("a proof before the challenge"))?;
        let given = decode_key(field(&mut text(message)?.split(','), "v=")?)?;
        if bool::from(given.ct_eq(&expected)) { Ok(()) } else { Err(Failure::WrongProof) }
    }
}

fn text(message: &[u8]) -> Result<&str, Failure> {
    if message.len() > MESSAGE_MAX {
        return Err(Failure::Malformed("longer than 4,096 bytes"));
    }
    std::str::from_utf8(message).map_err(|_| Failure::Malformed("no UTF-8"))
}

fn field<'a>(fields: &mut std::str::Split<'a, char>, name: &'static str) -> Result<&'a str, Failure> {
    fields.next().and_then(|field| field.strip_prefix(name)).ok_or(Failure::Malformed("a field is missing"))
}

fn decode_key(text: &str) -> Result<Key, Failure> {
    let bytes = BASE64.decode(text).map_err(|_| Failure::Malformed("a key is no base64"))?;
    Key::try_from(bytes).map_err(|_| Failure::Malformed("a key is not 32 bytes long"))
}

/// Takes `=2C` and `=3D` back to `,` and `=`, and prepares the name as RFC 4013 says.
fn unescape(name: &str) -> Result<String, Failure> {
    if name.replace("=2C", "").replace("=3D", "").contains('=') {
        return Err(Failure::Malformed("an unknown escape in the user name"));
    }
    let name = name.replace("=2C", ",").replace("=3D", "=");
    match stringprep::saslprep(&name) {
        Ok(prepared) if !prepared.is_empty() => Ok(prepared.into_owned()),
        _ => Err(Failure::Malformed("an empty or forbidden user name")),
    }
}

/// `Hi` of RFC 5802 over the prepared password. A password that cannot be prepared is taken as it is.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let text = std::str::from_utf8(password).ok();
    let prepared = text.and_then(|text| stringprep::saslprep(text).ok());
    let password = prepared.as_ref().map_or(password, |text| text.as_bytes());
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a[i] ^ b[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677, 3, publishes.
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const ANSWER: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                          p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const CONFIRMATION: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn published_client() -> Client {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        Client { password: b"pencil"[..].into(), bare: format!("n=user,r={nonce}"), nonce, expected: None }
    }

    fn published_server() -> Server {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Server {
            username: "user".into(),
            verifier: Verifier::new(b"pencil", &salt),
            binding: "biws".into(),
            nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(),
            transcript: format!("{},{CHALLENGE}", &FIRST[3..]),
        }
    }

    #[test]
    fn the_published_exchange_comes_out_on_both_sides() {
        let mut client = published_client();
        assert_eq!(client.first(), FIRST.as_bytes());
        assert_eq!(client.answer(CHALLENGE.as_bytes()), Ok(ANSWER.into()));
        assert_eq!(client.confirm(CONFIRMATION.as_bytes()), Ok(()));
        assert_eq!(published_server().finish(ANSWER.as_bytes()), Ok(CONFIRMATION.into()));
    }

    fn exchange(stored: &[u8], given: &[u8], username: &str) -> Result<(), Failure> {
        let verifier = Verifier::new(stored, b"salt");
        let mut client = Client::new(username, given, &[1; 18]);
        let (server, challenge) = Server::start(&client.first(), &[2; 18], |_| Some(verifier))?;
        assert_eq!(server.username(), username);
        let confirmation = server.finish(&client.answer(&challenge)?)?;
        client.confirm(&confirmation)
    }

    #[test]
    fn both_sides_agree_exactly_when_the_passwords_do() {
        assert_eq!(exchange(b"pencil", b"pencil", "user"), Ok(()));
        assert_eq!(exchange(b"pencil", b"pencil", "a=b,c=2C"), Ok(()));
        assert_eq!(exchange(b"\xFF\0", b"\xFF\0", "user"), Ok(()));
        assert_eq!(exchange(b"pencil", b"Pencil", "user"), Err(Failure::WrongProof));
        // RFC 4013: a soft hyphen maps to nothing, and a roman numeral nine to two letters.
        assert_eq!(exchange("I\u{AD}X".as_bytes(), "\u{2168}".as_bytes(), "user"), Ok(()));
    }

    #[test]
    fn first_messages_that_are_none() {
        let check = |message: &[u8]| {
            let started = Server::start(message, &[0; 18], |_| Some(Verifier::new(b"", b"")));
            assert!(matches!(started, Err(Failure::Malformed(_))), "{}", message.escape_ascii());
        };
        check(b"");
        check(b"p=tls-unique,,n=user,r=x");
        check(b"n,a=other,n=user,r=x");
        check(b"n,,m=ext,n=user,r=x");
        check(b"n,,n=,r=x");
        check(b"n,,n=us=er,r=x");
        check(b"n,,n=user,r=");
        check(b"n,,n=user");
        check(b"n,,n=\xFF,r=x");
        check(format!("n,,n=user,r={}", "x".repeat(MESSAGE_MAX)).as_bytes());
    }

    #[test]
    fn last_messages_that_are_none() {
        let server = published_server();
        let check = |from: &str, to: &str, expect: Failure| {
            let message = ANSWER.replace(from, to);
            assert_ne!(message, ANSWER);
            assert_eq!(server.finish(message.as_bytes()), Err(expect), "{message}");
        };
        check(",p=", ",q=", Failure::Malformed("no proof"));
        check("biws", "eSws", Failure::Malformed("the channel binding differs from the first message's"));
        check("rOpr", "rOpR", Failure::Malformed("the nonce is not the one given"));
        check("dHzb", "dHz", Failure::Malformed("a key is no base64"));
        check("dHzbZapW", "dHzb", Failure::Malformed("a key is not 32 bytes long"));
        check("dHzb", "eHzb", Failure::WrongProof);
    }

    #[test]
    fn a_client_is_not_led_astray() {
        let check = |from: &str, to: &str| {
            let challenge = CHALLENGE.replace(from, to);
            assert!(published_client().answer(challenge.as_bytes()).is_err(), "{challenge}");
        };
        check("i=4096", "i=4095");
        check("i=4096", "i=1000001");
        check("rOpr", "sOpr");
        check("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "");
        check("W22Z", "!");

        let mut client = published_client();
        assert!(client.confirm(CONFIRMATION.as_bytes()).is_err(), "nothing answered yet");
        client.answer(CHALLENGE.as_bytes()).unwrap();
        assert_eq!(client.confirm(CONFIRMATION.replace("6rri", "7rri").as_bytes()), Err(Failure::WrongProof));
        assert!(client.confirm(b"e=invalid-proof").is_err());
    }

    #[test]
    fn a_verifier_survives_its_text_form_and_knows_its_password() {
        let verifier = Verifier::new(b"pencil", b"0123456789abcdef");
        assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
        assert!(verifier.matches(b"pencil"));
        assert!(!verifier.matches(b"pencils"));
        for bad in ["", "SCRAM-SHA-256$4096:AA==$AA==:AA==", &verifier.to_string().replace("$4096", "$4095")] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_decoy_is_steady_and_fits_nothing() {
        let verifier = Verifier::new(b"pencil", b"0123456789abcdef");
        let decoy = verifier.decoy("nobody");
        assert_eq!(decoy, verifier.decoy("nobody"));
        assert_ne!(decoy.salt, verifier.decoy("somebody").salt);
        assert_eq!((decoy.iterations, decoy.salt.len()), (verifier.iterations, verifier.salt.len()));
        assert!(!decoy.matches(b"pencil"));
    }
}

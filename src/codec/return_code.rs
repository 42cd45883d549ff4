//! The return codes of CONNACK in 3.1 and 3.1.1 (3.2.2.3) as reason codes.

use crate::packet::ReasonCode;

/// Return codes 0 to 5, with their names.
const CODES: [(ReasonCode, &str); 6] = [
    (ReasonCode::Success, "accepted"),
    (ReasonCode::UnsupportedProtocolVersion, "unacceptable protocol version"),
    (ReasonCode::ClientIdentifierNotValid, "identifier rejected"),
    (ReasonCode::ServerUnavailable, "server unavailable"),
    (ReasonCode::BadUserNameOrPassword, "bad user name or password"),
    (ReasonCode::NotAuthorized, "not authorized"),
];

/// The reason that this return code stands for; `None` for a reserved one.
pub(super) fn to_reason(code: u8) -> Option<ReasonCode> {
    CODES.get(usize::from(code)).map(|(reason, _)| *reason)
}

/// The return code of CONNACK in 3.1 and 3.1.1 for this reason, and its name there; `None` where there is none.
pub fn from_reason(reason: ReasonCode) -> Option<(u8, &'static str)> {
    CODES.iter().zip(0..).find_map(|(&(known, name), code)| (known == reason).then_some((code, name)))
}

//! The return codes of CONNACK in 3.1 and 3.1.1 (3.2.2.3) as reason codes.

use crate::packet::ReasonCode;

/// Return codes 0 to 5.
const CODES: [ReasonCode; 6] = [
    ReasonCode::Success,
    ReasonCode::UnsupportedProtocolVersion,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::ServerUnavailable,
    ReasonCode::BadUserNameOrPassword,
    ReasonCode::NotAuthorized,
];

/// The reason that this return code stands for; `None` for a reserved one.
pub(super) fn to_reason(code: u8) -> Option<ReasonCode> {
    CODES.get(usize::from(code)).copied()
}

/// The return code for this reason; `None` where there is none.
pub(super) fn from_reason(reason: ReasonCode) -> Option<u8> {
    CODES.iter().zip(0..).find_map(|(&known, code)| (known == reason).then_some(code))
}

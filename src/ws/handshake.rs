//! The opening handshake (RFC 6455, 4): an HTTP upgrade that agrees on the subprotocol `mqtt`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::machine::TryParse as _;
use tungstenite::handshake::{client, derive_accept_key, server};
use tungstenite::http::HeaderMap;

/// The longest request or response head that is read, in bytes.
pub(super) const HEAD_MAX: usize = 8192;

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// The subprotocols a server selects from, best first. The second is what clients of 3.1 offer.
const OFFERED: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Where a head ends in `bytes`, looked for from `from` on: after the first empty line.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    bytes[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4)
}

/// The answer to a request head: the response that opens the WebSocket, or the one that refuses it.
pub(super) fn accept(head: &[u8]) -> Result<String, String> {
    let request = match server::Request::try_parse(head) {
        Ok(Some((_, request))) => request,
        Ok(None) => return Err(refusal("400 Bad Request", "no HTTP request")),
        Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
            return Err(refusal("405 Method Not Allowed\r\nAllow: GET", "a WebSocket begins with GET"));
        }
        Err(error) => return Err(refusal("400 Bad Request", &error.to_string())),
    };
    match server::create_response(&request) {
        Ok(_) => {}
        Err(Error::Protocol(error @ ProtocolError::MissingSecWebSocketVersionHeader)) => {
            return Err(refusal("426 Upgrade Required\r\nSec-WebSocket-Version: 13", &error.to_string()));
        }
        Err(error) => return Err(refusal("400 Bad Request", &error.to_string())),
    }
    let selected = OFFERED.into_iter().find(|offered| names(request.headers(), PROTOCOL, offered));
    let Some(selected) = selected else {
        return Err(refusal("400 Bad Request", "offer the subprotocol `mqtt`"));
    };
    let key = request.headers().get("Sec-WebSocket-Key").map_or(&b""[..], |key| key.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{PROTOCOL}: {selected}\r\n\r\n",
        derive_accept_key(key)
    ))
}

/// The answer to a head that is too long.
pub(super) fn too_long() -> String {
    refusal("431 Request Header Fields Too Large", "the request head is longer than 8192 bytes")
}

fn refusal(status: &str, why: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{why}\n",
        why.len() + 1
    )
}

/// The client's request, with the key that [`confirm`] wants back.
pub(super) fn request(authority: &str, path: &str, nonce: [u8; 16]) -> (String, String) {
    let key = BASE64.encode(nonce);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{PROTOCOL}: {}\r\n\r\n",
        OFFERED[0]
    );
    (request, key)
}

/// Checks the server's response (RFC 6455, 4.1), or says why it opens no WebSocket.
pub(super) fn confirm(head: &[u8], key: &str) -> Result<(), String> {
    let response = match client::Response::try_parse(head) {
        Ok(Some((_, response))) => response,
        Ok(None) => return Err("no HTTP response".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    if response.status().as_u16() != 101 {
        return Err(format!("the server answered the upgrade with {}", response.status()));
    }
    let headers = response.headers();
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found.as_bytes() == value.as_bytes());
    if !names(headers, "Upgrade", "websocket") || !names(headers, "Connection", "upgrade") {
        return Err("the server did not upgrade to a WebSocket".to_owned());
    }
    if !is("Sec-WebSocket-Accept", &derive_accept_key(key.as_bytes())) {
        return Err("the server's Sec-WebSocket-Accept does not belong to our key".to_owned());
    }
    if !is(PROTOCOL, OFFERED[0]) {
        return Err("the server did not select the subprotocol `mqtt`".to_owned());
    }
    if headers.contains_key("Sec-WebSocket-Extensions") {
        return Err("the server uses an extension that was not offered".to_owned());
    }
    Ok(())
}

/// Whether one of the comma-separated values of this header is `value`.
fn names(headers: &HeaderMap, header: &str, value: &str) -> bool {
    let mut values = headers.get_all(header).iter().filter_map(|text| text.to_str().ok());
    values.any(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 6455, 1.3, for MQTT.
    const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: foo, mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn the_published_key_is_accepted() {
        let response = accept(REQUEST.as_bytes()).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(response.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{response}");
        assert!(response.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"), "{response}");
    }

    #[test]
    fn the_subprotocol_is_selected_from_what_is_offered() {
        let check = |offer: &str, expect: &str| {
            let response = accept(REQUEST.replace("foo, mqtt", offer).as_bytes());
            assert!(response.unwrap().contains(&format!("Protocol: {expect}\r\n")), "{offer}");
        };
        check("mqtt", "mqtt");
        check("mqttv3.1,mqtt", "mqtt");
        check("mqttv3.1", "mqttv3.1");
        check("foo\r\nSec-WebSocket-Protocol: mqtt", "mqtt");
    }

    #[test]
    fn what_is_refused_says_why() {
        let check = |from: &str, to: &str, status: &str| {
            let request = REQUEST.replace(from, to);
            assert_ne!(request, REQUEST);
            let refused = accept(request.as_bytes()).unwrap_err();
            assert!(refused.starts_with(&format!("HTTP/1.1 {status} ")), "{request}{refused}");
        };
        check("GET", "POST", "405");
        check("HTTP/1.1", "HTTP/1.0", "400");
        check("Upgrade: websocket", "Upgrade: h2c", "400");
        check("keep-alive, Upgrade", "keep-alive", "400");
        check("dGhlIHNhbXBsZSBub25jZQ==", "short", "400");
        check("Version: 13", "Version: 8", "426");
        check("foo, mqtt", "mqtt2", "400");
        check("Sec-WebSocket-Protocol: foo, mqtt\r\n", "", "400");
        check("Host:", "Ho st:", "400");
        assert!(accept(b"\x10\x0c\0\x04MQTT\r\n\r\n").is_err());
    }

    #[test]
    fn both_sides_agree_and_a_client_is_not_fooled() {
        let (request, key) = request("h:80", "/mqtt", [7; 16]);
        let response = accept(request.as_bytes()).unwrap();
        assert_eq!(confirm(response.as_bytes(), &key), Ok(()));
        let check = |from: &str, to: &str| {
            let fooled = response.replace(from, to);
            assert_ne!(fooled, response);
            assert!(confirm(fooled.as_bytes(), &key).is_err(), "{fooled}");
        };
        check("101", "200");
        check("Upgrade: websocket", "Upgrade: h2c");
        check("Connection: Upgrade", "Connection: close");
        check("Accept: ", "Accept: x");
        check("Protocol: mqtt", "Protocol: mqttv3.1");
        check("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    }

    #[test]
    fn a_head_ends_at_the_first_empty_line_wherever_it_is_cut() {
        let bytes = b"a\r\n\r\nrest\r\n\r\n";
        for from in 0..5 {
            assert_eq!(head_end(bytes, from), Some(5));
        }
        assert_eq!(head_end(b"a\r\n\r", 0), None);
    }
}

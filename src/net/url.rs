//! Where a listener is: `mqtt://user:password@host:port`, `mqtts://`, `ws://host/path` and `wss://`.

use std::fmt;
use std::str::FromStr;

use harness::world::Endpoint;
use serde::Deserialize;

/// A listener's address, read from a URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Url {
    /// What is spoken below MQTT; the URL's scheme.
    pub endpoint: Endpoint,
    /// User name, where the URL carries one.
    pub username: Option<String>,
    /// Password, where the URL carries one. Not shown by `Display`.
    pub password: Option<String>,
    /// A name or an address; an IPv6 address stands without its brackets.
    pub host: String,
    /// Port; the scheme's registered one if the URL has none: 1883, 8883, 80 or 443.
    pub port: u16,
    /// The resource a WebSocket asks for, `/mqtt` if the URL names none; empty for the other schemes.
    pub path: String,
}

/// Why a text is no such URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {why}")]
pub struct BadUrl {
    /// The text.
    pub url: String,
    /// What is wrong with it and what to write instead.
    pub why: &'static str,
}

/// The registered port of MQTT over this endpoint.
pub const fn default_port(endpoint: Endpoint) -> u16 {
    match endpoint {
        Endpoint::Tcp => 1883,
        Endpoint::Tls => 8883,
        Endpoint::Ws => 80,
        Endpoint::Wss => 443,
    }
}

impl Url {
    /// This machine's own address, at the scheme's registered port.
    pub fn loopback(endpoint: Endpoint) -> Self {
        let path = if is_web_socket(endpoint) { "/mqtt" } else { "" };
        Self {
            endpoint,
            username: None,
            password: None,
            host: "127.0.0.1".to_owned(),
            port: default_port(endpoint),
            path: path.to_owned(),
        }
    }

    /// Whether TLS lies below.
    pub const fn is_secure(&self) -> bool {
        matches!(self.endpoint, Endpoint::Tls | Endpoint::Wss)
    }

    /// Whether a WebSocket lies below.
    pub const fn is_web_socket(&self) -> bool {
        is_web_socket(self.endpoint)
    }

    /// Host and port as a `Host` header and `ToSocketAddrs` write them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

const fn is_web_socket(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Ws | Endpoint::Wss)
}

impl fmt::Display for Url {
    /// Without the password: this text goes into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.endpoint.scheme())?;
        if let Some(username) = &self.username {
            write!(f, "{}@", Escaped(username))?;
        }
        write!(f, "{}{}", self.authority(), self.path)
    }
}

/// User information with everything escaped that could end it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => write!(f, "{}", byte as char),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

impl TryFrom<String> for Url {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Self, BadUrl> {
        text.parse()
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        parse(text).map_err(|why| BadUrl { url: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Url, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("has no scheme; write mqtt://, mqtts://, ws:// or wss://")?;
    let endpoint = [Endpoint::Tcp, Endpoint::Tls, Endpoint::Ws, Endpoint::Wss]
        .into_iter()
        .find(|endpoint| endpoint.scheme().eq_ignore_ascii_case(scheme))
        .ok_or("has an unknown scheme; write mqtt://, mqtts://, ws:// or wss://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user_info, address) = match authority.rsplit_once('@') {
        Some((user_info, address)) => (Some(user_info), address),
        None => (None, authority),
    };
    let (username, password) =
        match user_info.map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p)))) {
            Some((username, password)) => (Some(unescape(username)?), password.map(unescape).transpose()?),
            None => (None, None),
        };
    let (host, port) = split_port(address)?;
    if host.is_empty() {
        return Err("has no host; write scheme://host:port");
    }
    if path.contains('#') {
        return Err("has a fragment, which no server ever sees; leave it out");
    }
    let path = match (is_web_socket(endpoint), path) {
        (true, "" | "/") => "/mqtt".to_owned(),
        (true, path) if path.starts_with('/') => path.to_owned(),
        (true, _) => return Err("has a query without a path; write ws://host:port/path?query"),
        (false, "" | "/") => String::new(),
        (false, _) => return Err("has a path, which only ws:// and wss:// have; leave it out"),
    };
    if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("has a path with characters that must be written as %XX");
    }
    let port = port.unwrap_or(default_port(endpoint));
    Ok(Url { endpoint, username, password, host: host.to_owned(), port, path })
}

fn split_port(address: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("has an address with `[` but no `]`")?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| "has something between `[` and `]` that is no IPv6 address")?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("has something other than a port after `]`"),
            }
        }
        None => match address.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("has an IPv6 address without brackets; write [::1]:1883");
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has a space or control character in its host");
    }
    let port = port.map(|port| port.parse().map_err(|_| "has a port that is no number from 0 to 65535")).transpose()?;
    Ok((host, port))
}

fn unescape(text: &str) -> Result<String, &'static str> {
    const WHY: &str = "has an escape in its user information that is not % and two hexadecimal digits of UTF-8";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or(WHY)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(WHY);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| WHY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str, host: &str, port: u16) {
        let url: Url = text.parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.host.as_str(), url.port), (expect, host, port), "{text}");
    }

    #[test]
    fn each_scheme_has_its_port_and_path() {
        check("mqtt://h", "mqtt://h:1883", "h", 1883);
        check("MQTTS://h/", "mqtts://h:8883", "h", 8883);
        check("ws://h", "ws://h:80/mqtt", "h", 80);
        check("wss://h/a/b?c=d", "wss://h:443/a/b?c=d", "h", 443);
        check("mqtt://[::1]", "mqtt://[::1]:1883", "::1", 1883);
        check("mqtt://[fe80::1]:0", "mqtt://[fe80::1]:0", "fe80::1", 0);
        check("mqtt://127.0.0.1:65535", "mqtt://127.0.0.1:65535", "127.0.0.1", 65535);
    }

    #[test]
    fn user_information_is_unescaped_and_the_password_kept_out_of_sight() {
        let url: Url = "mqtt://anna%40home:p%3Aw:%C3%A9@h".parse().unwrap();
        assert_eq!(url.username.as_deref(), Some("anna@home"));
        assert_eq!(url.password.as_deref(), Some("p:w:é"));
        assert_eq!(url.to_string(), "mqtt://anna%40home@h:1883");
        let url: Url = "mqtt://anna@h".parse().unwrap();
        assert_eq!((url.username.as_deref(), url.password), (Some("anna"), None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, expect: &str| {
            let why = text.parse::<Url>().expect_err(text).why;
            assert!(why.contains(expect), "{text}: {why}");
        };
        check("localhost", "no scheme");
        check("http://h", "unknown scheme");
        check("mqtt://", "no host");
        check("mqtt://user@:1883", "no host");
        check("mqtt://h:65536", "port");
        check("mqtt://h:", "port");
        check("mqtt://::1", "brackets");
        check("mqtt://[::1", "no `]`");
        check("mqtt://[h]", "no IPv6");
        check("mqtt://[::1]x", "after `]`");
        check("mqtt://h/topic", "path");
        check("ws://h?a", "query");
        check("ws://h/a#b", "fragment");
        check("ws://h/a b", "%XX");
        check("mqtt://a b", "space");
        check("mqtt://u%4@h", "escape");
        check("mqtt://u%FF@h", "escape");
        check("mqtt://u%+1@h", "escape");
    }
}

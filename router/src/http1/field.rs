//! The fields of a head that mean something to a proxy.

/// What a field is to us. All others are passed on as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Host,
    Connection,
    KeepAlive,
    ProxyConnection,
    TransferEncoding,
    ContentLength,
    Upgrade,
    Te,
    Expect,
    Cookie,
    SetCookie,
    Date,
    Accept,
    ForwardedFor,
    ForwardedProto,
    ForwardedPort,
    /// What the platform says of a request itself, and nobody else may.
    Ours,
    RequestId,
    /// As one of ours or one that frames a body, but with underscores: an app that reads names as CGI does would take it
    /// for the real one.
    Forged,
    Other,
}

impl Field {
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // By length first: for most names that is all there is to do.
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            4 if is("date") => Self::Date,
            6 if is("accept") => Self::Accept,
            6 if is("expect") => Self::Expect,
            6 if is("cookie") => Self::Cookie,
            7 if is("upgrade") => Self::Upgrade,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::KeepAlive,
            10 if is("set-cookie") => Self::SetCookie,
            12 if is("x-request-id") => Self::RequestId,
            14 if is("content-length") => Self::ContentLength,
            15 if is("x-forwarded-for") => Self::ForwardedFor,
            15 if is("x-request-start") => Self::Ours,
            16 if is("x-forwarded-port") => Self::ForwardedPort,
            16 if is("proxy-connection") => Self::ProxyConnection,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            17 if is("x-forwarded-proto") => Self::ForwardedProto,
            12 | 14 | 15 | 16 | 17 if name.contains(&b'_') && is_forged(name) => Self::Forged,
            _ => Self::Other,
        }
    }

    /// Whether it is for this hop alone.
    pub(crate) const fn is_of_the_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Te
        )
    }

    /// Whether `Connection` may name it to have it taken off: it may not take away what the next one decides by.
    pub(crate) const fn may_be_named(self) -> bool {
        !matches!(
            self,
            Self::Host | Self::ContentLength | Self::ForwardedFor | Self::Cookie
        )
    }
}

fn is_forged(name: &[u8]) -> bool {
    let plain: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == b'_' { b'-' } else { *byte })
        .collect();
    !matches!(Field::of(&plain), Field::Other)
}

/// The lines after a body that may go on.
pub(crate) fn trailing(lines: &[u8]) -> Vec<u8> {
    let may_go = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        name.len() < line.len() && !name.is_empty() && name.iter().all(is_token) && may_trail(name)
    };
    lines
        .split_inclusive(|byte| *byte == b'\n')
        .filter(may_go)
        .flatten()
        .copied()
        .collect()
}

/// Whether the field may come after a body: nothing that routes, frames or vouches for a message may.
fn may_trail(name: &[u8]) -> bool {
    Field::of(name) == Field::Other
        && !name.eq_ignore_ascii_case(b"authorization")
        && !name.eq_ignore_ascii_case(b"trailer")
        && !name.eq_ignore_ascii_case(b"content-encoding")
        && !name.eq_ignore_ascii_case(b"content-type")
        && !name.eq_ignore_ascii_case(b"content-range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Field::of(b"Host"), Field::Host);
        assert_eq!(Field::of(b"TRANSFER-encoding"), Field::TransferEncoding);
        assert_eq!(Field::of(b"X-Forwarded-Proto"), Field::ForwardedProto);
        assert_eq!(Field::of(b"X-Request-Start"), Field::Ours);
        assert_eq!(Field::of(b"X-Forwarded-Host"), Field::Other);
        assert_eq!(Field::of(b"x-hosts"), Field::Other);
    }

    #[test]
    fn an_underscore_does_not_make_another_name_of_ours() {
        for name in [
            "X_Forwarded_For",
            "x-forwarded_for",
            "X_REQUEST_ID",
            "Content_Length",
            "Transfer_Encoding",
            "x_forwarded_proto",
            "X_Request-Start",
        ] {
            assert_eq!(Field::of(name.as_bytes()), Field::Forged, "{name}");
        }
        assert_eq!(Field::of(b"my_own_header_"), Field::Other);
    }

    #[test]
    fn only_trailers_that_say_nothing_of_the_message_itself_go_on() {
        let lines = b"Server-Timing: db\r\nContent-Length: 5\r\nbad\r\na b: c\r\nX: y\r\n";
        assert_eq!(trailing(lines), b"Server-Timing: db\r\nX: y\r\n");
    }

    #[test]
    fn nothing_that_frames_or_vouches_may_trail() {
        assert!(may_trail(b"grpc-status") && may_trail(b"Server-Timing"));
        for name in [
            "content-length",
            "host",
            "authorization",
            "set-cookie",
            "te",
        ] {
            assert!(!may_trail(name.as_bytes()), "{name}");
        }
    }
}

//! Everything that can keep a request from its answer, with Heroku's codes.

use http::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No app has this host name.
    NoSuchApp,
    /// The client named no host, or something that is none.
    BadHost,
    /// `CONNECT`: a tunnel to elsewhere is not offered.
    BadMethod,
    Crashed,
    /// As many requests as its dynos may have are under way.
    Backlog,
    Timeout,
    NoResponse,
    NoWebProcesses,
    BackendIdle,
    PoorResponse,
    BackendInterrupted,
    ConnectTimeout,
    BootTimeout,
    Refused,
    /// There are as many clients' connections as there may be, from its address or in total.
    TooManyConnections,
    /// A WebSocket, and the app's dynos speak what has none here.
    NoWebSockets,
    ForcedClose,
    /// A line of the answer's head, or all of it.
    OversizedResponse,
    OversizedCookie,
    OversizedStatusLine,
    BadResponseLength,
    BadHeader,
    BadChunk,
    BadExpect,
    ClientInterrupted,
    ClientIdle,
    /// The client speaks on a connection that was opened for an app's own name, of a host that is nobody's here.
    Misdirected,
    /// Of a host that another certificate is for.
    OtherCertificate,
    Maintenance,
    Blank,
    /// The app lets others in, or not this one.
    NotAllowed,
    /// The client asks more than the app lets one client ask.
    OverLimit {
        /// Seconds until it may ask again.
        wait: u32,
    },
    /// The app is paused, and was for as long as requests are held.
    Paused,
    /// Ours, in the way of an app.
    Platform,
    /// No controller or builder is alive.
    PlatformAway,
}

/// One row of the table of codes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    pub(crate) desc: &'static str,
    pub(crate) at: &'static str,
    /// Whose connection broke, where it was one.
    pub(crate) sock: Option<&'static str>,
    pub(crate) cause: Option<&'static str>,
}

impl Fault {
    /// `None`: no code, and so no line in an app's log.
    pub(crate) const fn code(self) -> Option<Code> {
        let (code, desc) = match self {
            Self::NoSuchApp | Self::BadHost | Self::BadMethod | Self::PlatformAway => return None,
            Self::Crashed => ("H10", "App crashed"),
            Self::Backlog => ("H11", "Backlog too deep"),
            Self::Timeout => ("H12", "Request timeout"),
            Self::NoResponse => ("H13", "Connection closed without response"),
            Self::NoWebProcesses => ("H14", "No web processes running"),
            Self::BackendIdle => ("H15", "Idle connection"),
            Self::PoorResponse => ("H17", "Poorly formatted HTTP response"),
            Self::BackendInterrupted => ("H18", "Server Request Interrupted"),
            Self::ConnectTimeout => ("H19", "Backend connection timeout"),
            Self::BootTimeout => ("H20", "App boot timeout"),
            Self::Refused => ("H21", "Backend connection refused"),
            Self::TooManyConnections => ("H22", "Connection limit reached"),
            Self::NoWebSockets => ("H23", "Endpoint misconfigured"),
            Self::ForcedClose => ("H24", "Forced close"),
            Self::OversizedResponse => ("H25", "HTTP restriction: oversized header"),
            Self::OversizedCookie => ("H25", "HTTP restriction: oversized cookie"),
            Self::OversizedStatusLine => ("H25", "HTTP restriction: oversized status line"),
            Self::BadResponseLength => ("H25", "HTTP restriction: invalid content length"),
            Self::BadHeader | Self::BadChunk | Self::BadExpect => ("H26", "Request Error"),
            Self::ClientInterrupted => ("H27", "Client Request Interrupted"),
            Self::ClientIdle => ("H28", "Client Connection Idle"),
            Self::Misdirected => ("H31", "Misdirected Request"),
            Self::OtherCertificate => ("H32", "TLS Certificate Mismatch"),
            Self::Maintenance => ("H80", "Maintenance mode"),
            Self::Blank => ("H81", "Blank app"),
            // Heroku has nothing like these; its codes begin with H.
            Self::NotAllowed => ("P10", "Address not allowed"),
            Self::OverLimit { .. } => ("P11", "Rate limit exceeded"),
            Self::Paused => ("P12", "Paused"),
            Self::Platform => ("H99", "Platform error"),
        };
        let at = match self {
            Self::Maintenance | Self::Blank | Self::Paused => "info",
            Self::ClientInterrupted
            | Self::ClientIdle
            | Self::NotAllowed
            | Self::OverLimit { .. } => "warning",
            _ => "error",
        };
        let sock = match self {
            Self::ClientInterrupted | Self::ClientIdle => Some("client"),
            Self::BackendInterrupted => Some("backend"),
            _ => None,
        };
        let cause = match self {
            Self::BadHeader => Some("bad header"),
            Self::BadChunk => Some("bad chunk"),
            Self::BadExpect => Some("unsupported expect header value"),
            _ => None,
        };
        Some(Code {
            code,
            desc,
            at,
            sock,
            cause,
        })
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoSuchApp => StatusCode::NOT_FOUND,
            Self::BadHost | Self::BadHeader | Self::BadChunk => StatusCode::BAD_REQUEST,
            Self::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Misdirected | Self::OtherCertificate => StatusCode::MISDIRECTED_REQUEST,
            Self::BadExpect => StatusCode::EXPECTATION_FAILED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::OverLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::OversizedResponse
            | Self::OversizedCookie
            | Self::OversizedStatusLine
            | Self::BadResponseLength => StatusCode::BAD_GATEWAY,
            Self::ClientInterrupted | Self::ClientIdle => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT)
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

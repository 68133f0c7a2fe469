//! One line per request into the app's log, in Heroku's words.

use std::fmt::{self, Write as _};
use std::time::Duration;

use http::{Method, Version};
use model::log::LogSource;
use model::{AppId, Timestamp};

use controller_api::LogSink;
use model::log::LogLine;

use crate::fault::Fault;

/// Everything a line tells. What is unknown is left empty.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) fault: Option<Fault>,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) fwd: &'a str,
    pub(crate) dyno: &'a str,
    pub(crate) connect: Option<Duration>,
    pub(crate) service: Option<Duration>,
    pub(crate) status: u16,
    pub(crate) bytes: Option<u64>,
    pub(crate) version: Version,
    /// `None`: the client spoke plain HTTP.
    pub(crate) tls_version: Option<&'a str>,
}

pub(crate) fn send(sink: &LogSink, app: AppId, record: &Record<'_>) {
    sink.send(LogLine {
        app,
        at: Timestamp::now(),
        source: LogSource::Heroku,
        process: "router".to_owned(),
        text: record.to_string(),
    });
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault.and_then(Fault::code) {
            None => f.write_str("at=info")?,
            Some(code) => {
                if let Some(sock) = code.sock {
                    write!(f, "sock={sock} ")?;
                }
                write!(
                    f,
                    "at={} code={} desc=\"{}\"",
                    code.at, code.code, code.desc
                )?;
                if let Some(cause) = code.cause {
                    write!(f, " cause=\"{cause}\"")?;
                }
            }
        }
        write!(f, " method={} path=\"{}\"", self.method, Quoted(self.path))?;
        write!(
            f,
            " host={} request_id={} fwd=\"{}\"",
            self.host,
            self.request_id,
            Quoted(self.fwd)
        )?;
        write!(
            f,
            " dyno={} connect={} service={}",
            self.dyno,
            Millis(self.connect),
            Millis(self.service)
        )?;
        write!(f, " status={} bytes=", self.status)?;
        if let Some(bytes) = self.bytes {
            write!(f, "{bytes}")?;
        }
        let protocol = match self.version {
            Version::HTTP_2 => "http2.0",
            Version::HTTP_10 => "http1.0",
            _ => "http1.1",
        };
        write!(f, " protocol={protocol} tls={}", self.tls_version.is_some())?;
        if let Some(version) = self.tls_version {
            write!(f, " tls_version={version}")?;
        }
        Ok(())
    }
}

struct Millis(Option<Duration>);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |duration| write!(f, "{}ms", duration.as_millis()))
    }
}

/// A value that cannot end its quotes or its line.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self
            .0
            .bytes()
            .any(|b| matches!(b, b'"' | b'\\') || b.is_ascii_control())
        {
            return f.write_str(self.0);
        }
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fault: Option<Fault>) -> Record<'static> {
        Record {
            fault,
            method: &Method::GET,
            path: "/",
            host: "my.example.com",
            request_id: "8601b555-6a83-4c12-8269-97c8e32cdb22",
            fwd: "1.2.3.4",
            dyno: "web.1",
            connect: Some(Duration::ZERO),
            service: Some(Duration::from_millis(18)),
            status: 200,
            bytes: Some(13),
            version: Version::HTTP_2,
            tls_version: Some("tls1.3"),
        }
    }

    #[test]
    fn a_line_reads_as_herokus() {
        assert_eq!(
            record(None).to_string(),
            "at=info method=GET path=\"/\" host=my.example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 \
             fwd=\"1.2.3.4\" dyno=web.1 connect=0ms service=18ms status=200 bytes=13 protocol=http2.0 tls=true \
             tls_version=tls1.3"
        );
        let line = Record {
            dyno: "",
            connect: None,
            service: None,
            status: 503,
            bytes: None,
            version: Version::HTTP_11,
            tls_version: None,
            ..record(Some(Fault::NoWebProcesses))
        };
        assert_eq!(
            line.to_string(),
            "at=error code=H14 desc=\"No web processes running\" method=GET path=\"/\" host=my.example.com \
             request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd=\"1.2.3.4\" dyno= connect= service= status=503 bytes= \
             protocol=http1.1 tls=false"
        );
        assert!(
            record(Some(Fault::ClientInterrupted))
                .to_string()
                .starts_with("sock=client at=warning code=H27 desc=")
        );
        let bad = record(Some(Fault::BadHeader)).to_string();
        assert!(
            bad.starts_with(
                "at=error code=H26 desc=\"Request Error\" cause=\"bad header\" method=GET"
            ),
            "{bad}"
        );
    }

    #[test]
    fn a_path_cannot_forge_fields() {
        let forged = Record {
            path: "/\" status=200 \n",
            ..record(None)
        }
        .to_string();
        assert!(forged.contains(r#"path="/\" status=200  ""#), "{forged}");
    }
}

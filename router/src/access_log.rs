//! One line per request into the app's log, in Heroku's words.

use std::time::Duration;

use http::Version;
use model::log::LogSource;
use model::{AppId, Timestamp};

use controller_api::LogSink;
use model::log::LogLine;

use crate::fault::{Code, Fault};

/// Everything a line tells. What is unknown is left empty.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) fault: Option<Fault>,
    pub(crate) method: &'a str,
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
        text: record.text(),
    });
}

impl Record<'_> {
    /// The line. Put together by hand: there is one for every request.
    fn text(&self) -> String {
        let mut line = String::with_capacity(320 + self.path.len() + self.host.len());
        match self.fault.and_then(Fault::code) {
            None => line.push_str("at=info"),
            Some(code) => push_code(&mut line, &code),
        }
        line.push_str(" method=");
        line.push_str(self.method);
        line.push_str(" path=\"");
        push_quoted(&mut line, self.path);
        line.push_str("\" host=");
        line.push_str(self.host);
        line.push_str(" request_id=");
        line.push_str(self.request_id);
        line.push_str(" fwd=\"");
        push_quoted(&mut line, self.fwd);
        line.push_str("\" dyno=");
        line.push_str(self.dyno);
        line.push_str(" connect=");
        push_millis(&mut line, self.connect);
        line.push_str(" service=");
        push_millis(&mut line, self.service);
        line.push_str(" status=");
        push_number(&mut line, self.status.into());
        line.push_str(" bytes=");
        if let Some(bytes) = self.bytes {
            push_number(&mut line, bytes);
        }
        line.push_str(match self.version {
            Version::HTTP_2 => " protocol=http2.0",
            Version::HTTP_10 => " protocol=http1.0",
            _ => " protocol=http1.1",
        });
        match self.tls_version {
            None => line.push_str(" tls=false"),
            Some(version) => {
                line.push_str(" tls=true tls_version=");
                line.push_str(version);
            }
        }
        line
    }
}

fn push_code(line: &mut String, code: &Code) {
    if let Some(sock) = code.sock {
        line.push_str("sock=");
        line.push_str(sock);
        line.push(' ');
    }
    for part in [
        "at=", code.at, " code=", code.code, " desc=\"", code.desc, "\"",
    ] {
        line.push_str(part);
    }
    if let Some(cause) = code.cause {
        line.push_str(" cause=\"");
        line.push_str(cause);
        line.push('"');
    }
}

fn push_millis(line: &mut String, duration: Option<Duration>) {
    if let Some(duration) = duration {
        push_number(
            line,
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        );
        line.push_str("ms");
    }
}

fn push_number(line: &mut String, number: u64) {
    if number >= 10 {
        push_number(line, number / 10);
    }
    line.push(char::from(b'0' + (number % 10) as u8));
}

/// A value that cannot end its quotes or its line.
fn push_quoted(line: &mut String, value: &str) {
    let is_special = |b: u8| matches!(b, b'"' | b'\\') || b.is_ascii_control();
    if !value.bytes().any(is_special) {
        line.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fault: Option<Fault>) -> Record<'static> {
        Record {
            fault,
            method: "GET",
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
            record(None).text(),
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
            line.text(),
            "at=error code=H14 desc=\"No web processes running\" method=GET path=\"/\" host=my.example.com \
             request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd=\"1.2.3.4\" dyno= connect= service= status=503 bytes= \
             protocol=http1.1 tls=false"
        );
        assert!(
            record(Some(Fault::ClientInterrupted))
                .text()
                .starts_with("sock=client at=warning code=H27 desc=")
        );
        let bad = record(Some(Fault::BadHeader)).text();
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
        .text();
        assert!(forged.contains(r#"path="/\" status=200  ""#), "{forged}");
    }
}

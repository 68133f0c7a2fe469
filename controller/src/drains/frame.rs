//! Lines in Logplex's words: syslog (RFC 5424) as far as Logplex goes, each with its length before it (RFC 6587).

use std::sync::Arc;

use bytes::Bytes;
use controller_api::log_sink::overflow;
use model::log::{LogLine, LogSource};
use model::{DrainToken, Timestamp};
use uuid::Uuid;

use super::buffer::{Loss, Taken};

/// RFC 5424's limit on a PROCID.
const MAX_PROCESS: usize = 128;

/// What Logplex says differently over HTTP and as syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The token is in a header, and where structured data would be there is nothing.
    Http,
    Syslog(DrainToken),
}

/// Lines on their way. The same, under the same id, however often it is tried.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) id: Uuid,
    pub(super) frames: Bytes,
    pub(super) messages: usize,
    lines: u64,
    loss: Option<Loss>,
    first_at: Option<Timestamp>,
}

impl Batch {
    pub(super) fn new(taken: &Taken, dialect: Dialect, now: Timestamp) -> Self {
        let mut frames = Vec::new();
        if let Some(loss) = &taken.loss {
            let text = overflow(loss.count, loss.since);
            write(
                &mut frames,
                dialect,
                OVERFLOW,
                now,
                "heroku",
                "logplex",
                &text,
            );
        }
        for line in &taken.lines {
            write_line(&mut frames, dialect, line);
        }
        Self {
            id: Uuid::new_v4(),
            frames: frames.into(),
            messages: taken.lines.len() + usize::from(taken.loss.is_some()),
            lines: taken.lines.len() as u64,
            loss: taken.loss,
            first_at: taken.lines.first().map(|line: &Arc<LogLine>| line.at),
        }
    }

    /// What is lost if it is given up: its lines, and what it had to say of others.
    pub(super) fn loss(&self) -> Option<Loss> {
        let own = self.first_at.map(|since| Loss {
            count: self.lines,
            since,
        });
        match (self.loss, own) {
            (Some(before), Some(own)) => Some(Loss {
                count: before.count + own.count,
                since: before.since.min(own.since),
            }),
            (before, own) => before.or(own),
        }
    }
}

/// local7.info, local3.info, syslog.notice and local5.warning: what filters for Heroku's logs expect.
const APP: u8 = 190;
const ROUTER: u8 = 158;
const PLATFORM: u8 = 45;
const OVERFLOW: u8 = 172;

fn priority(line: &LogLine) -> u8 {
    match (line.source, line.process.as_str()) {
        (LogSource::App, "api") => PLATFORM,
        (LogSource::App, _) => APP,
        (LogSource::Heroku, "router") => ROUTER,
        (LogSource::Heroku, "logplex") => OVERFLOW,
        (LogSource::Heroku, _) => PLATFORM,
    }
}

fn write_line(out: &mut Vec<u8>, dialect: Dialect, line: &LogLine) {
    let source = line.source.as_str();
    write(
        out,
        dialect,
        priority(line),
        line.at,
        source,
        &line.process,
        &line.text,
    );
}

fn write(
    out: &mut Vec<u8>,
    dialect: Dialect,
    priority: u8,
    at: Timestamp,
    source: &str,
    process: &str,
    text: &str,
) {
    let at = at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
    let mut message = match dialect {
        Dialect::Http => format!("<{priority}>1 {at} host {source} "),
        Dialect::Syslog(token) => format!("<{priority}>1 {at} {token} {source} "),
    };
    // What a PROCID may hold; the rest would end it early.
    let printable = process
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' });
    message.extend(printable.take(MAX_PROCESS));
    message.push_str(match dialect {
        Dialect::Http => " - ",
        Dialect::Syslog(_) => " - - ",
    });
    let text = text.trim_end_matches(['\n', '\r']);
    message.extend(text.chars().map(|c| {
        if matches!(c, '\n' | '\r' | '\0') {
            ' '
        } else {
            c
        }
    }));
    message.push('\n');
    out.extend_from_slice(message.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message.as_bytes());
}

#[cfg(test)]
mod tests {
    use model::AppId;
    use proptest::prelude::*;

    use super::*;

    fn line(source: LogSource, process: &str, text: &str) -> LogLine {
        LogLine {
            app: AppId::from_uuid(Uuid::nil()),
            at: "2012-11-30T06:45:29.123456Z".parse().unwrap(),
            source,
            process: process.to_owned(),
            text: text.to_owned(),
        }
    }

    fn batch(lines: Vec<LogLine>, loss: Option<Loss>, dialect: Dialect) -> Batch {
        let lines = lines.into_iter().map(Arc::new).collect();
        let now = "2012-11-30T07:00:00Z".parse().unwrap();
        Batch::new(&Taken { loss, lines }, dialect, now)
    }

    /// What a receiver makes of it.
    fn unframe(mut bytes: &[u8]) -> Vec<String> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&bytes[..space])
                .unwrap()
                .parse()
                .unwrap();
            let (message, rest) = bytes[space + 1..].split_at(length);
            messages.push(String::from_utf8(message.to_vec()).unwrap());
            bytes = rest;
        }
        messages
    }

    #[test]
    fn lines_read_as_logplex_writes_them() {
        let token = DrainToken(Uuid::nil());
        let web = || line(LogSource::App, "web.1", "hello\n");
        let frames = batch(vec![web()], None, Dialect::Http).frames;
        assert_eq!(
            &frames[..],
            b"63 <190>1 2012-11-30T06:45:29.123456+00:00 host app web.1 - hello\n"
        );
        let frames = batch(vec![web()], None, Dialect::Syslog(token)).frames;
        assert_eq!(
            unframe(&frames),
            [format!(
                "<190>1 2012-11-30T06:45:29.123456+00:00 {token} app web.1 - - hello\n"
            )]
        );
    }

    #[test]
    fn who_speaks_decides_the_priority() {
        for (source, process, priority) in [
            (LogSource::App, "web.1", "<190>1 "),
            (LogSource::App, "api", "<45>1 "),
            (LogSource::Heroku, "web.1", "<45>1 "),
            (LogSource::Heroku, "router", "<158>1 "),
            (LogSource::Heroku, "logplex", "<172>1 "),
        ] {
            let frames = batch(vec![line(source, process, "x")], None, Dialect::Http).frames;
            assert!(
                unframe(&frames)[0].starts_with(priority),
                "{source:?} {process}"
            );
        }
    }

    #[test]
    fn a_loss_is_told_first_in_herokus_words_and_counts_as_a_message() {
        let since = "2012-11-30T06:00:00Z".parse().unwrap();
        let loss = Some(Loss { count: 491, since });
        let batch = batch(
            vec![line(LogSource::App, "web.1", "x")],
            loss,
            Dialect::Http,
        );
        assert_eq!(
            unframe(&batch.frames)[0],
            "<172>1 2012-11-30T07:00:00.000000+00:00 host heroku logplex - \
             Error L10 (output buffer overflow): 491 messages dropped since 2012-11-30T06:00:00+00:00.\n"
        );
        assert_eq!(batch.messages, 2);
        assert_eq!(batch.loss(), Some(Loss { count: 492, since }));
    }

    proptest! {
        #[test]
        fn whatever_lines_hold_a_receiver_gets_as_many_and_each_on_one_line(
            lines in prop::collection::vec((any::<String>(), any::<String>()), 0..20),
            over_http in any::<bool>(),
        ) {
            let dialect = if over_http {
                Dialect::Http
            } else {
                Dialect::Syslog(DrainToken(Uuid::nil()))
            };
            let count = lines.len();
            let lines = lines.iter().map(|(process, text)| line(LogSource::App, process, text));
            let messages = unframe(&batch(lines.collect(), None, dialect).frames);
            prop_assert_eq!(messages.len(), count);
            for message in messages {
                let one_line = message.strip_suffix('\n').unwrap();
                prop_assert!(!one_line.contains(['\n', '\r', '\0']));
                let words = if over_http { 6 } else { 7 };
                prop_assert_eq!(one_line.splitn(words, ' ').count(), words);
            }
        }
    }
}

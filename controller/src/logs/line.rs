//! How a line is stored: `<number> <time> <source>[<process>]: <text>`, which is its number and Heroku's form of it.

use std::fmt::Write as _;

use model::log::LogLine;

/// Appends one stored line. What would end it early, or hide in it, becomes a space.
pub(super) fn write(out: &mut String, id: u64, line: &LogLine) {
    let at = line.at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
    // Writing to a string cannot fail.
    let _ = write!(out, "{id} {at} {}[", line.source.as_str());
    out.extend(line.process.chars().map(|c| {
        if c.is_whitespace() || c.is_control() || c == ']' {
            '_'
        } else {
            c
        }
    }));
    out.push_str("]: ");
    let start = out.len();
    out.push_str(&line.text);
    if out[start..].contains(['\n', '\r', '\0']) {
        let clean = out[start..]
            .trim_end_matches(['\n', '\r'])
            .replace(['\n', '\r', '\0'], " ");
        out.truncate(start);
        out.push_str(&clean);
    }
    out.push('\n');
}

/// The number and the rest; `None` for what is no stored line.
pub(super) fn split(stored: &str) -> Option<(u64, &str)> {
    let (id, line) = stored.split_once(' ')?;
    Some((id.parse().ok()?, line))
}

/// `2012-…+00:00 app[web.1]: text` → (`app`, `web.1`).
pub(super) fn speaker(line: &str) -> Option<(&str, &str)> {
    let rest = line.split_once(' ')?.1;
    let (source, rest) = rest.split_once('[')?;
    Some((source, rest.split_once("]: ")?.0))
}

#[cfg(test)]
mod tests {
    use model::AppId;
    use model::log::LogSource;

    use super::*;

    #[test]
    fn a_line_is_stored_on_one_line_whatever_it_holds() {
        let line = LogLine {
            app: AppId::new(),
            at: "2012-10-11T03:47:20.123456Z".parse().unwrap(),
            source: LogSource::App,
            process: "web.1]: evil\n".to_owned(),
            text: "two\nlines\r\n".to_owned(),
        };
        let mut stored = String::new();
        write(&mut stored, 7, &line);
        assert_eq!(
            stored,
            "7 2012-10-11T03:47:20.123456+00:00 app[web.1_:_evil_]: two lines\n"
        );
        let (id, text) = split(stored.trim_end()).unwrap();
        assert_eq!((id, speaker(text)), (7, Some(("app", "web.1_:_evil_"))));
    }
}

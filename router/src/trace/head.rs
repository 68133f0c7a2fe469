//! `traceparent` in a request's head as a dyno gets it: found, put in place, replaced.

use std::ops::Range;

use super::parent::{LENGTH, Parent};
use crate::exchange::Asked;

const PARENT: &[u8] = b"traceparent";
const STATE: &[u8] = b"tracestate";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    None,
    One(Parent),
    /// One that cannot be read, or several.
    Nonsense,
}

pub(super) fn find(head: &[u8]) -> Found {
    let mut lines = lines_of(head, PARENT);
    let Some(line) = lines.next() else {
        return Found::None;
    };
    match (Parent::parse(value_of(&head[line])), lines.next()) {
        (Some(parent), None) => Found::One(parent),
        _ => Found::Nonsense,
    }
}

/// Puts `parent` in the place of the one that is there.
pub(super) fn put(asked: &mut Asked, parent: &Parent) {
    let Some(line) = first_of(&asked.head, PARENT) else {
        return;
    };
    let value = value_of(&asked.head[line.clone()]);
    if value.len() == LENGTH {
        // Nearly always: as long as the old one, and nothing has to move.
        let start = value.as_ptr().addr() - asked.head.as_ptr().addr();
        asked.head[start..start + LENGTH].copy_from_slice(parent.text().as_bytes());
    } else {
        take_out(asked, line);
        append(asked, parent);
    }
}

/// Takes out what there is of a trace, and begins another.
pub(super) fn replace(asked: &mut Asked, parent: &Parent) {
    for name in [PARENT, STATE] {
        while let Some(line) = first_of(&asked.head, name) {
            take_out(asked, line);
        }
    }
    append(asked, parent);
}

fn append(asked: &mut Asked, parent: &Parent) {
    let end = asked.head.len() - b"\r\n".len();
    asked.head.truncate(end);
    asked.head.extend_from_slice(PARENT);
    asked.head.extend_from_slice(b": ");
    asked.head.extend_from_slice(parent.text().as_bytes());
    asked.head.extend_from_slice(b"\r\n\r\n");
}

fn take_out(asked: &mut Asked, line: Range<usize>) {
    asked.places.close_gap(line.start, line.len());
    asked.head.drain(line);
}

fn first_of(head: &[u8], name: &'static [u8]) -> Option<Range<usize>> {
    lines_of(head, name).next()
}

/// Where the lines of a field are, each with its end.
fn lines_of<'h>(head: &'h [u8], name: &'static [u8]) -> impl Iterator<Item = Range<usize>> + 'h {
    let mut start = 0;
    let lines = head
        .split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let range = start..start + line.len();
            start = range.end;
            (range, line)
        });
    // The first line is the request's own.
    lines.skip(1).filter_map(move |(range, line)| {
        let (field, rest) = line.split_at_checked(name.len())?;
        (rest.first() == Some(&b':') && field.eq_ignore_ascii_case(name)).then_some(range)
    })
}

fn value_of(line: &[u8]) -> &[u8] {
    let colon = line.iter().position(|byte| *byte == b':');
    colon.map_or(&[], |colon| line[colon + 1..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;
    use crate::buffer::Buffers;
    use crate::http1::framing::Framing;
    use crate::http1::request::{Line, Origin, Terms};
    use crate::http2::fields::FieldList;
    use crate::phase;

    const OLD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn asked(fields: &[(&str, &str)]) -> Asked {
        let list = FieldList::of(fields);
        let line = Line {
            method: b"GET",
            authority: Some(b"app.paas.test"),
            path: b"/traceparent:",
            version: Version::HTTP_2,
        };
        let terms = Terms::of(&line, &list);
        let origin = Origin {
            peer: "192.0.2.1",
            is_https: true,
            port: 443,
            https_port: 443,
            is_believed: false,
            unix_millis: 0,
        };
        let buffers = Buffers::new();
        let opened = phase::request(&buffers, &line, &list, &terms, Framing::Empty, &origin);
        opened.unwrap().asked
    }

    fn text(asked: &Asked) -> String {
        String::from_utf8(asked.head.clone()).unwrap()
    }

    fn check_places(asked: &Asked) {
        assert_eq!(asked.places.fwd.of(&asked.head), b"192.0.2.1");
        assert_eq!(
            asked.places.request_id.of(&asked.head),
            b"01234567890123456789"
        );
        assert_eq!(asked.places.path.of(&asked.head), b"/traceparent:");
    }

    const ID: (&str, &str) = ("x-request-id", "01234567890123456789");

    #[test]
    fn a_new_caller_takes_the_place_of_the_old_one() {
        let mut asked = asked(&[("a", "b"), ("Traceparent", OLD), ID, ("tracestate", "x=1")]);
        let Found::One(parent) = find(&asked.head) else {
            panic!("it is there")
        };
        let before = asked.head.len();
        put(&mut asked, &parent.child([7; 8]));
        let written = text(&asked);
        assert_eq!(asked.head.len(), before);
        assert!(written.contains("-0707070707070707-01\r\n"), "{written}");
        assert!(
            written.contains("tracestate: x=1\r\n") && !written.contains("00f067aa"),
            "{written}"
        );
        check_places(&asked);
    }

    #[test]
    fn one_of_a_later_version_is_written_as_ours() {
        let later = format!("{}-and-more", OLD.replacen("00", "01", 1));
        let mut asked = asked(&[("traceparent", &later), ID]);
        let Found::One(parent) = find(&asked.head) else {
            panic!("it is there")
        };
        put(&mut asked, &parent);
        let written = text(&asked);
        assert!(
            written.ends_with(&format!("\r\ntraceparent: {OLD}\r\n\r\n")),
            "{written}"
        );
        assert!(!written.contains("and-more"), "{written}");
        check_places(&asked);
    }

    #[test]
    fn nonsense_goes_with_its_state_and_another_trace_begins() {
        let new = Parent::new([1; 16], [2; 8], false);
        for fields in [
            &[("traceparent", "nonsense"), ("tracestate", "x=1"), ID][..],
            &[
                ("traceparent", OLD),
                ID,
                ("traceparent", OLD),
                ("tracestate", "x=1"),
            ],
            &[ID, ("tracestate", "x=1"), ("tracestate", "y=2")],
        ] {
            let mut asked = asked(fields);
            assert!(!matches!(find(&asked.head), Found::One(_)));
            replace(&mut asked, &new);
            let written = text(&asked);
            assert_eq!(written.matches("\r\ntraceparent: ").count(), 1, "{written}");
            assert!(
                !written.contains("tracestate") && !written.contains("nonsense"),
                "{written}"
            );
            assert_eq!(find(&asked.head), Found::One(new));
            assert_eq!(written.matches("\r\n\r\n").count(), 1, "{written}");
            check_places(&asked);
        }
    }
}

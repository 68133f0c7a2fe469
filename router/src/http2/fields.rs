//! What a request's header block says, and whether a request may say that (RFC 9113, 8.2 and 8.3).
//!
//! Fields are kept as the lines that a dyno gets, so that those that are passed on are copied in one go.

use http::Version;

use super::hpack::Item;
use super::settings::HEADER_LIST;
use crate::http1::field::Field;
use crate::http1::request::{Fields, Line};
use crate::http1::{MAX_FIELDS, parse_length};

/// A field's overhead in the size of a list (RFC 9113, 6.5.2).
const OVERHEAD: usize = 32;

/// Why a list is no request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed,
    /// Longer than we said we take, in bytes or fields.
    TooLong,
}

/// One header block's fields, in the order they came. Used over and over.
#[derive(Debug, Default)]
pub(crate) struct FieldList {
    /// The values of pseudo-fields, and then the others as lines.
    text: Vec<u8>,
    fields: Vec<Place>,
    pseudo: Pseudo,
    /// Of the body, where it is said.
    length: Option<u64>,
    size: usize,
    refused: Option<Refused>,
}

/// A line's, in the text.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    name_end: usize,
    value_end: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Pseudo {
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
}

type Span = (usize, usize);

/// A request that may be one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) line: Line<'a>,
    /// Of the body, where it is said.
    pub(crate) length: Option<u64>,
    /// What a tunnel is asked for, by its name if it has one (RFC 8441).
    pub(crate) tunnel: Option<Option<&'a [u8]>>,
}

impl FieldList {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        self.pseudo = Pseudo::default();
        self.length = None;
        self.size = 0;
        self.refused = None;
    }

    /// The next field.
    pub(crate) fn push(&mut self, item: Item<'_>) {
        let Item { name, value, .. } = item;
        let size = name.len().saturating_add(value.len());
        self.size = self.size.saturating_add(size).saturating_add(OVERHEAD);
        if self.size > HEADER_LIST as usize || self.fields.len() >= MAX_FIELDS {
            self.refused = Some(Refused::TooLong);
        }
        if self.refused.is_none() {
            self.refused = self.put(item).err();
        }
    }

    fn put(
        &mut self,
        Item {
            name,
            value,
            is_sound,
        }: Item<'_>,
    ) -> Result<(), Refused> {
        if !is_sound {
            return Err(Refused::Malformed);
        }
        let start = self.text.len();
        if name.first() == Some(&b':') {
            let place = match name {
                b":method" => &mut self.pseudo.method,
                b":scheme" => &mut self.pseudo.scheme,
                b":authority" => &mut self.pseudo.authority,
                b":path" => &mut self.pseudo.path,
                b":protocol" => &mut self.pseudo.protocol,
                _ => return Err(Refused::Malformed),
            };
            if !self.fields.is_empty() || place.is_some() {
                return Err(Refused::Malformed);
            }
            *place = Some((start, start + value.len()));
            self.text.extend_from_slice(value);
            return Ok(());
        }
        match Field::of(name) {
            Field::Te if value != b"trailers" => return Err(Refused::Malformed),
            Field::Te => {}
            field if field.is_of_the_hop() => return Err(Refused::Malformed),
            Field::ContentLength => {
                let length = parse_length(value).ok_or(Refused::Malformed)?;
                if self.length.replace(length).is_some() {
                    return Err(Refused::Malformed);
                }
            }
            _ => {}
        }
        // Some clients leave blanks around it, which no app may tell from none.
        let value = value.trim_ascii();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        self.fields.push(Place {
            start,
            name_end: start + name.len(),
            value_end: self.text.len() - 2,
        });
        Ok(())
    }

    /// What is asked, if it may be asked like this.
    pub(crate) fn request(&self) -> Result<Asked<'_>, Refused> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let pseudo = &self.pseudo;
        let value = |span: Option<Span>| span.and_then(|(start, end)| self.text.get(start..end));
        let method = value(pseudo.method).filter(|method| is_token(method));
        let method = method.ok_or(Refused::Malformed)?;
        let authority = value(pseudo.authority);
        let protocol = value(pseudo.protocol);
        let is_connect = method == b"CONNECT";
        // What is asked of the other end of a tunnel has neither.
        let has_target = !is_connect || protocol.is_some();
        let is_well_formed = if has_target {
            pseudo.scheme.is_some() && (is_connect || protocol.is_none())
        } else {
            pseudo.scheme.is_none() && pseudo.path.is_none()
        };
        if !is_well_formed || (is_connect && authority.is_none()) || self.names_another(authority) {
            return Err(Refused::Malformed);
        }
        let path = match value(pseudo.path) {
            Some(path) if is_path(path, method) => path,
            None if !has_target => b"/",
            _ => return Err(Refused::Malformed),
        };
        Ok(Asked {
            line: Line {
                // A tunnel for a WebSocket is a `GET` of a dyno.
                method: if protocol.is_some() { b"GET" } else { method },
                authority,
                path,
                version: Version::HTTP_2,
            },
            length: self.length,
            tunnel: is_connect.then_some(protocol),
        })
    }

    /// Whether it asks for a head alone, whatever else is wrong with it.
    pub(crate) fn is_head(&self) -> bool {
        let method = self.pseudo.method;
        method.and_then(|(start, end)| self.text.get(start..end)) == Some(b"HEAD")
    }

    /// Whether the list may come after a body.
    pub(crate) fn is_trailers(&self) -> bool {
        let Pseudo {
            method,
            scheme,
            authority,
            path,
            protocol,
        } = self.pseudo;
        let pseudo = [method, scheme, authority, path, protocol];
        self.refused.is_none() && pseudo.iter().all(Option::is_none)
    }

    /// Whether a `Host` field says otherwise: two that look at the one or the other would answer for different sites.
    fn names_another(&self, authority: Option<&[u8]>) -> bool {
        let Some(authority) = authority else {
            return false;
        };
        let mut hosts = self.each().filter(|(name, _)| *name == b"host");
        hosts.any(|(_, host)| !host.eq_ignore_ascii_case(authority))
    }
}

#[cfg(test)]
impl FieldList {
    pub(crate) fn of(fields: &[(&str, &str)]) -> Self {
        let mut list = Self::default();
        for (name, value) in fields {
            list.push(Item {
                name: name.as_bytes(),
                value: value.as_bytes(),
                is_sound: true,
            });
        }
        list
    }
}

fn is_token(name: &[u8]) -> bool {
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is)
}

fn is_path(path: &[u8], method: &[u8]) -> bool {
    let is_text = path
        .iter()
        .all(|byte| *byte > b' ' && *byte != 0x7f && *byte != b'#');
    match path.first() {
        Some(b'/') => is_text,
        _ => path == b"*" && method == b"OPTIONS",
    }
}

impl<'a> Fields<'a> for &'a FieldList {
    fn each(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().map(|place| {
            let name = self.text.get(place.start..place.name_end);
            let value = self.text.get(place.name_end + 2..place.value_end);
            (name.unwrap_or_default(), value.unwrap_or_default())
        })
    }

    fn push_kept(self, out: &mut Vec<u8>, mut keep: impl FnMut(&[u8]) -> bool) {
        let mut run = None;
        let mut put = |from: usize, to: usize| {
            out.extend_from_slice(self.text.get(from..to).unwrap_or_default());
        };
        for (place, (name, _)) in self.fields.iter().zip(self.each()) {
            if keep(name) {
                run.get_or_insert(place.start);
            } else if let Some(from) = run.take() {
                put(from, place.start);
            }
        }
        if let Some(from) = run {
            put(from, self.text.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(fields: &[(&str, &str)]) -> FieldList {
        FieldList::of(fields)
    }

    fn refused(fields: &[(&str, &str)]) -> Option<Refused> {
        list(fields).request().err()
    }

    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "https");
    const AUTHORITY: (&str, &str) = (":authority", "app.test");
    const PATH: (&str, &str) = (":path", "/a?b");
    const CONNECT: (&str, &str) = (":method", "CONNECT");
    const WEBSOCKET: (&str, &str) = (":protocol", "websocket");

    #[test]
    fn a_request_is_read() {
        let list = list(&[
            METHOD,
            SCHEME,
            AUTHORITY,
            PATH,
            ("x", " y\t"),
            ("content-length", "3"),
        ]);
        let asked = list.request().unwrap();
        assert_eq!(asked.line.method, b"GET");
        assert_eq!(asked.line.authority, Some(&b"app.test"[..]));
        assert_eq!(asked.line.path, b"/a?b");
        assert_eq!((asked.length, asked.tunnel), (Some(3), None));
        let each: Vec<_> = list.each().collect();
        assert_eq!(each, [(&b"x"[..], &b"y"[..]), (b"content-length", b"3")]);
    }

    #[test]
    fn what_is_kept_is_copied_as_lines() {
        let list = list(&[
            METHOD,
            SCHEME,
            PATH,
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d", ""),
        ]);
        for (dropped, expected) in [
            ("", "a: 1\r\nb: 2\r\nc: 3\r\nd: \r\n"),
            ("a", "b: 2\r\nc: 3\r\nd: \r\n"),
            ("b", "a: 1\r\nc: 3\r\nd: \r\n"),
            ("d", "a: 1\r\nb: 2\r\nc: 3\r\n"),
        ] {
            let mut out = Vec::new();
            list.push_kept(&mut out, |name| name != dropped.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{dropped}");
        }
    }

    #[test]
    fn a_tunnel_has_a_name_or_no_path() {
        let named = list(&[CONNECT, WEBSOCKET, SCHEME, AUTHORITY, PATH]);
        let asked = named.request().unwrap();
        assert_eq!(asked.tunnel, Some(Some(&b"websocket"[..])));
        assert_eq!(
            (asked.line.method, asked.line.path),
            (&b"GET"[..], &b"/a?b"[..])
        );
        let elsewhere = list(&[CONNECT, AUTHORITY]);
        assert_eq!(elsewhere.request().unwrap().tunnel, Some(None));
        for bad in [
            &[CONNECT, AUTHORITY, PATH][..],
            &[CONNECT, AUTHORITY, SCHEME],
            &[CONNECT],
            &[CONNECT, WEBSOCKET, AUTHORITY, PATH],
            &[CONNECT, WEBSOCKET, SCHEME, AUTHORITY],
            &[CONNECT, WEBSOCKET, SCHEME, PATH],
            &[METHOD, WEBSOCKET, SCHEME, AUTHORITY, PATH],
        ] {
            assert_eq!(refused(bad), Some(Refused::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn what_no_request_may_say_is_malformed() {
        let with = |more: &[(&'static str, &'static str)]| {
            [&[METHOD, SCHEME, AUTHORITY, PATH], more].concat()
        };
        assert_eq!(
            refused(&with(&[("te", "trailers"), ("host", "APP.test")])),
            None
        );
        assert_eq!(
            refused(&[(":method", "OPTIONS"), SCHEME, (":path", "*")]),
            None
        );
        for bad in [
            with(&[METHOD]),
            with(&[(":status", "200")]),
            with(&[("x", "y"), WEBSOCKET]),
            with(&[("connection", "close")]),
            with(&[("keep-alive", "1")]),
            with(&[("proxy-connection", "close")]),
            with(&[("transfer-encoding", "chunked")]),
            with(&[("upgrade", "websocket")]),
            with(&[("te", "gzip")]),
            with(&[("host", "other.test")]),
            with(&[("content-length", "+1")]),
            with(&[("content-length", "1"), ("content-length", "1")]),
            vec![SCHEME, PATH],
            vec![METHOD, PATH],
            vec![METHOD, SCHEME],
            vec![METHOD, SCHEME, (":path", "")],
            vec![METHOD, SCHEME, (":path", "*")],
            vec![METHOD, SCHEME, (":path", "a")],
            vec![METHOD, SCHEME, (":path", "/a b")],
            vec![METHOD, SCHEME, (":path", "/a#b")],
            vec![(":method", "G ET"), SCHEME, PATH],
            vec![(":method", ""), SCHEME, PATH],
        ] {
            assert_eq!(refused(&bad), Some(Refused::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_list_has_a_bound() {
        let long = "y".repeat(HEADER_LIST as usize);
        assert_eq!(refused(&[METHOD, ("x", &long)]), Some(Refused::TooLong));
        let many = vec![("x", "y"); MAX_FIELDS + 1];
        assert_eq!(refused(&many), Some(Refused::TooLong));
    }

    #[test]
    fn nothing_that_looks_like_a_request_may_trail() {
        assert!(list(&[("grpc-status", "0")]).is_trailers());
        assert!(!list(&[("x", "y"), PATH]).is_trailers());
        assert!(!list(&[PATH]).is_trailers());
        let mut used = list(&[PATH]);
        used.clear();
        assert!(used.is_trailers() && used.each().next().is_none());
    }
}

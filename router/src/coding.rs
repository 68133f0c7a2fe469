//! Compression of answers on their way to clients that take it: which ones, and how.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::rc::Rc;

use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::http1::response::Answer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

/// What is shorter gains nothing: it fits one packet as it is.
const MIN_LENGTH: u64 = 860;
/// Answers compressed at a time, by one worker. Beyond that they go as they are: each takes some hundred KiB.
const MOST_AT_ONCE: u32 = 128;
/// Quick, for what is made anew for each request.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 1;
/// Fields with a checksum of what is sent.
const CHECKSUMS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];
/// 128 KiB.
const ZSTD_WINDOW_LOG: u32 = 17;

impl Coding {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The one the client likes best of those there are, by `Accept-Encoding` (RFC 9110, 12.5.3).
    pub(crate) fn accepted(accepts: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(accepts).ok()?;
        let weight = |coding: Self| {
            let (mut named, mut any) = (None, None);
            for part in text.split(',') {
                let mut params = part.split(';').map(str::trim);
                let name = params.next()?;
                let weight = params
                    .find_map(|param| param.strip_prefix("q="))
                    .map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
                if name.eq_ignore_ascii_case(coding.name()) {
                    named = Some(weight);
                } else if name == "*" {
                    any = Some(weight);
                }
            }
            named.or(any).filter(|weight| *weight > 0.0)
        };
        match (weight(Self::Zstd), weight(Self::Gzip)) {
            (Some(zstd), Some(gzip)) if gzip > zstd => Some(Self::Gzip),
            (Some(_), _) => Some(Self::Zstd),
            (None, gzip) => gzip.map(|_| Self::Gzip),
        }
    }
}

/// Whether an answer gains by being compressed, and nothing is lost.
pub(crate) fn is_worth_it(answer: &Answer<'_, '_>) -> bool {
    let is_whole = answer.status != 206 && answer.status >= 200;
    let is_short = answer.length().is_some_and(|length| length < MIN_LENGTH);
    let forbids = |value: &[u8]| {
        let value = value.to_ascii_lowercase();
        memchr::memmem::find(&value, b"no-transform").is_some()
    };
    is_whole
        && !is_short
        && answer.field("content-type").is_some_and(is_text)
        && answer.field("content-encoding").is_none()
        && !answer.field("cache-control").is_some_and(forbids)
        && !CHECKSUMS.iter().any(|name| answer.field(name).is_some())
}

fn is_text(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next();
    let essence = essence
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    let Ok(essence) = std::str::from_utf8(&essence) else {
        return false;
    };
    match essence.split_once('/') {
        // What is sent line by line is to arrive so.
        Some(("text", kind)) => kind != "event-stream",
        // Its messages have a compression of their own.
        Some(("application", kind)) if kind.starts_with("grpc") => false,
        Some(("application", kind)) => {
            matches!(
                kind,
                "json" | "javascript" | "x-javascript" | "xml" | "wasm" | "x-ndjson" | "graphql"
            ) || kind.ends_with("+json")
                || kind.ends_with("+xml")
        }
        Some(("image", kind)) => kind == "svg+xml",
        Some(("font", kind)) => matches!(kind, "ttf" | "otf"),
        _ => false,
    }
}

/// How many answers are compressed just now, by one worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coders(Rc<Cell<u32>>);

impl Coders {
    /// `None`: there are too many, or there is no memory.
    pub(crate) fn begin(&self, coding: Coding) -> Option<Coder> {
        if self.0.get() >= MOST_AT_ONCE {
            return None;
        }
        let encoder = match coding {
            Coding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL).ok()?;
                encoder.window_log(ZSTD_WINDOW_LOG).ok()?;
                Encoder::Zstd(encoder)
            }
        };
        self.0.set(self.0.get() + 1);
        Some(Coder {
            coding,
            encoder,
            at: 0,
            is_flushed: true,
            is_finished: false,
            among: self.0.clone(),
        })
    }
}

/// One body being compressed.
pub(crate) struct Coder {
    coding: Coding,
    encoder: Encoder,
    /// What was taken of the output.
    at: usize,
    is_flushed: bool,
    is_finished: bool,
    among: Rc<Cell<u32>>,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").finish_non_exhaustive()
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        self.among.set(self.among.get() - 1);
    }
}

impl Coder {
    pub(crate) const fn coding(&self) -> Coding {
        self.coding
    }

    pub(crate) fn put(&mut self, piece: &[u8]) -> io::Result<()> {
        self.is_flushed = false;
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.write_all(piece),
            Encoder::Zstd(encoder) => encoder.write_all(piece),
        }
    }

    /// Has all that was put in come out. Whether there was anything.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if std::mem::replace(&mut self.is_flushed, true) || self.is_finished {
            return Ok(false);
        }
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }?;
        Ok(!self.out().is_empty())
    }

    /// Nothing more will be put in.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_finished, true) {
            return Ok(());
        }
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.try_finish(),
            Encoder::Zstd(encoder) => encoder.do_finish(),
        }
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.is_finished
    }

    pub(crate) fn out(&self) -> &[u8] {
        let out = match &self.encoder {
            Encoder::Gzip(encoder) => encoder.get_ref(),
            Encoder::Zstd(encoder) => encoder.get_ref(),
        };
        &out[self.at..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.at += count;
        let out = match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        };
        if self.at == out.len() {
            out.clear();
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_client_has_its_way() {
        for (accepts, coding) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("gzip, zstd;q=0.5", Some(Coding::Gzip)),
            ("zstd;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0", None),
            ("identity", None),
            ("br", None),
            ("", None),
            ("gzip;q=much", None),
        ] {
            assert_eq!(Coding::accepted(accepts.as_bytes()), coding, "{accepts}");
        }
    }

    #[test]
    fn text_is_what_people_and_programs_read() {
        for yes in [
            "text/html; charset=utf-8",
            "application/json",
            "application/ld+json",
            "image/svg+xml",
            "TEXT/CSS",
        ] {
            assert!(is_text(yes.as_bytes()), "{yes}");
        }
        for no in [
            "image/png",
            "text/event-stream",
            "application/grpc",
            "application/grpc+json",
            "application/zip",
            "nonsense",
            "",
        ] {
            assert!(!is_text(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn there_is_an_end_to_how_many_are_compressed_at_once() {
        let coders = Coders::default();
        let mut all: Vec<_> = (0..MOST_AT_ONCE)
            .map(|_| coders.begin(Coding::Gzip))
            .collect();
        assert!(all.iter().all(Option::is_some) && coders.begin(Coding::Zstd).is_none());
        all.pop();
        assert!(coders.begin(Coding::Zstd).is_some());
    }

    fn unpacked(coding: Coding, packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain),
            Coding::Zstd => zstd::Decoder::new(packed).unwrap().read_to_end(&mut plain),
        }
        .unwrap();
        plain
    }

    proptest! {
        #[test]
        fn what_is_unpacked_is_what_was_packed_however_it_came(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), any::<bool>()), 0..8),
            is_zstd in any::<bool>(),
            step in 1usize..500,
        ) {
            let coding = if is_zstd { Coding::Zstd } else { Coding::Gzip };
            let mut coder = Coders::default().begin(coding).unwrap();
            let (mut packed, mut plain) = (Vec::new(), Vec::new());
            let mut take = |coder: &mut Coder| while !coder.out().is_empty() {
                let some = coder.out().len().min(step);
                packed.extend_from_slice(&coder.out()[..some]);
                coder.consume(some);
            };
            for (piece, flushes) in &pieces {
                coder.put(piece).unwrap();
                plain.extend_from_slice(piece);
                if *flushes {
                    coder.flush().unwrap();
                    take(&mut coder);
                }
            }
            coder.finish().unwrap();
            take(&mut coder);
            prop_assert_eq!(unpacked(coding, &packed), plain);
        }
    }
}

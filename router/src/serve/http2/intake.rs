//! What a client says, frame by frame: what each may be, and what becomes of it (RFC 9113, sections 3 to 6).

use std::rc::Rc;

use super::calm::Enough;
use super::connection::Connection;
use super::stream::{Excess, Stream};
use crate::buffer::Buf;
use crate::http1::request::HTTP2_PREFACE;
use crate::http2::fields::{Asked, FieldList, Refused};
use crate::http2::frame::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Head, MAX_PAYLOAD, PING,
    PRIORITY, PUSH_PROMISE, RST_STREAM, Reason, SETTINGS, WINDOW_UPDATE,
};
use crate::http2::hpack::Decoder;
use crate::http2::settings::{self, HEADER_LIST};

/// A header block is no longer than this, in bytes: more of it is no list that we take.
const MAX_BLOCK: usize = 2 * HEADER_LIST as usize;
/// What a ping of ours has in it that asks whether the client has heard that it is to leave.
pub(super) const LEAVE: [u8; 8] = *b"leave-it";

/// Where a client is in what it says.
#[derive(Debug)]
pub(super) struct Intake {
    has_begun: Begun,
    decoder: Decoder,
    /// A header block that goes on.
    block: Option<Block>,
    /// The last stream it has opened.
    last_stream: u32,
    /// Streams beyond this are not answered any more.
    last_answered: u32,
    awaits_acknowledgement: bool,
    has_said_goodbye: bool,
    /// It has answered [`LEAVE`].
    has_heard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    /// Settings come next.
    Preface,
    Yes,
}

#[derive(Debug)]
struct Block {
    head: Head,
    bytes: Vec<u8>,
}

/// What is asked for by a header block.
#[derive(Debug)]
pub(super) enum Request<'l> {
    /// To be answered over this stream.
    Opened(Rc<Stream>, Asked<'l>, &'l FieldList),
    /// Its header list is longer than we take.
    TooLong(Rc<Stream>, &'l FieldList),
}

impl From<Enough> for Reason {
    fn from(_: Enough) -> Self {
        Self::EnhanceYourCalm
    }
}

impl Intake {
    pub(super) const fn new() -> Self {
        Self {
            has_begun: Begun::No,
            decoder: Decoder::new(),
            block: None,
            last_stream: 0,
            last_answered: u32::MAX,
            awaits_acknowledgement: true,
            has_said_goodbye: false,
            has_heard: false,
        }
    }

    pub(super) const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    pub(super) const fn has_said_goodbye(&self) -> bool {
        self.has_said_goodbye
    }

    pub(super) const fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// What is asked from now on is not answered.
    pub(super) const fn answer_no_more(&mut self) {
        self.last_answered = self.last_stream;
    }

    /// Takes what is complete of what was said, and gives each request to `answer`. An error ends the connection.
    pub(super) fn take(
        &mut self,
        buf: &mut Buf,
        connection: &Rc<Connection>,
        mut answer: impl FnMut(Request<'_>),
    ) -> Result<(), Reason> {
        while !connection.is_full() {
            let bytes = buf.data();
            if self.has_begun == Begun::No {
                let some = bytes.len().min(HTTP2_PREFACE.len());
                if bytes.get(..some) != HTTP2_PREFACE.get(..some) {
                    return Err(Reason::Protocol);
                }
                if some < HTTP2_PREFACE.len() {
                    return Ok(());
                }
                buf.advance(some);
                self.has_begun = Begun::Preface;
                continue;
            }
            let Some(head) = Head::read(bytes) else {
                return Ok(());
            };
            if head.length > MAX_PAYLOAD {
                return Err(Reason::FrameSize);
            }
            let end = frame::HEAD + head.length;
            let Some(payload) = bytes.get(frame::HEAD..end) else {
                return Ok(());
            };
            connection.count(&head, connection.client.worker.alarms.now())?;
            self.frame(&head, payload, connection, &mut answer)?;
            buf.advance(end);
        }
        Ok(())
    }

    fn frame(
        &mut self,
        head: &Head,
        payload: &[u8],
        connection: &Rc<Connection>,
        answer: &mut impl FnMut(Request<'_>),
    ) -> Result<(), Reason> {
        let in_block = self.block.is_some();
        if in_block != (head.kind == CONTINUATION) {
            return Err(Reason::Protocol);
        }
        if self.has_begun == Begun::Preface {
            if head.kind != SETTINGS || head.has(frame::ACK) {
                return Err(Reason::Protocol);
            }
            self.has_begun = Begun::Yes;
        }
        let is_of_stream = match head.kind {
            DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION => Some(true),
            SETTINGS | PING | GOAWAY => Some(false),
            _ => None,
        };
        if is_of_stream.is_some_and(|is| is != (head.stream != 0)) {
            return Err(Reason::Protocol);
        }
        match head.kind {
            DATA => self.data(head, payload, connection),
            HEADERS => self.headers(head, payload, connection, answer),
            CONTINUATION => self.continuation(head, payload, connection, answer),
            PRIORITY => priority(head, payload, connection),
            RST_STREAM => self.reset(head, payload, connection),
            SETTINGS => self.settings(head, payload, connection),
            PING => self.ping(head, payload, connection),
            GOAWAY if payload.len() < 8 => Err(Reason::FrameSize),
            GOAWAY => {
                self.has_said_goodbye = true;
                Ok(())
            }
            WINDOW_UPDATE => self.window_update(head, payload, connection),
            PUSH_PROMISE => Err(Reason::Protocol),
            // What we do not know is no error.
            _ => Ok(()),
        }
    }

    /// Whether nobody has asked for anything by this number yet.
    const fn is_idle(&self, stream: u32) -> bool {
        stream > self.last_stream || stream.is_multiple_of(2)
    }

    fn data(&self, head: &Head, payload: &[u8], connection: &Connection) -> Result<(), Reason> {
        let data = frame::without_padding(head, payload)?;
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        if data.is_empty() && !head.has(END_STREAM) {
            connection.received_nothing()?;
        }
        if !connection.received(payload.len()) {
            return Err(Reason::FlowControl);
        }
        let Some(stream) = connection.stream(head.stream) else {
            connection.passed_on(payload.len());
            if connection.was_reset(head.stream) || head.stream > self.last_answered {
                return Ok(connection.received_nothing()?);
            }
            return Ok(connection.refuse(head.stream, Reason::StreamClosed)?);
        };
        let buffers = &connection.client.worker.buffers;
        let received = stream.receive(data, payload.len(), head.has(END_STREAM), buffers);
        let reason = match received {
            Ok(()) => {
                // Padding is for nobody.
                let padding = payload.len() - data.len();
                if padding > 0 {
                    connection.passed_on(padding);
                    if let Some(more) = stream.passed_on(padding) {
                        connection.open_theirs(&stream, more);
                    }
                }
                return Ok(());
            }
            Err(Excess::Window) => Reason::FlowControl,
            Err(Excess::Length) => Reason::Protocol,
            Err(Excess::Ended) => Reason::StreamClosed,
        };
        connection.passed_on(payload.len());
        Ok(connection.refuse(head.stream, reason)?)
    }

    fn headers(
        &mut self,
        head: &Head,
        payload: &[u8],
        connection: &Rc<Connection>,
        answer: &mut impl FnMut(Request<'_>),
    ) -> Result<(), Reason> {
        let block = frame::without_padding(head, payload)?;
        let (block, depends_on) = frame::without_priority(head, block)?;
        if head.stream.is_multiple_of(2) {
            return Err(Reason::Protocol);
        }
        let is_sound = depends_on != Some(head.stream);
        if head.has(END_HEADERS) {
            return self.block(head, block, is_sound, connection, answer);
        }
        // What depends on itself is nobody's wish.
        if !is_sound {
            return Err(Reason::Protocol);
        }
        self.block = Some(Block {
            head: *head,
            bytes: block.to_vec(),
        });
        Ok(())
    }

    fn continuation(
        &mut self,
        head: &Head,
        payload: &[u8],
        connection: &Rc<Connection>,
        answer: &mut impl FnMut(Request<'_>),
    ) -> Result<(), Reason> {
        let Some(mut block) = self.block.take() else {
            return Err(Reason::Protocol);
        };
        if block.head.stream != head.stream {
            return Err(Reason::Protocol);
        }
        if block.bytes.len() + payload.len() > MAX_BLOCK {
            return Err(Reason::EnhanceYourCalm);
        }
        block.bytes.extend_from_slice(payload);
        if head.has(END_HEADERS) {
            return self.block(&block.head, &block.bytes, true, connection, answer);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A header block is complete: a request, or what comes after a body. It is read in any case, for the next one is
    /// understood only by whoever has read this one.
    fn block(
        &mut self,
        head: &Head,
        block: &[u8],
        is_sound: bool,
        connection: &Rc<Connection>,
        answer: &mut impl FnMut(Request<'_>),
    ) -> Result<(), Reason> {
        let worker = &connection.client.worker;
        let list = &mut *worker.header_list.borrow_mut();
        list.clear();
        let mut scratch = worker.buffers.take_text();
        let decoded = self
            .decoder
            .decode(block, &mut scratch, |item| list.push(item));
        worker.buffers.put_text(scratch);
        decoded.map_err(|_| Reason::Compression)?;
        if head.stream <= self.last_stream {
            return self.trailers(head, list, connection);
        }
        self.last_stream = head.stream;
        if head.stream > self.last_answered {
            return Ok(connection.received_nothing()?);
        }
        if !is_sound {
            return Ok(connection.refuse(head.stream, Reason::Protocol)?);
        }
        if connection.has_enough() {
            return Ok(connection.refuse(head.stream, Reason::RefusedStream)?);
        }
        let has_all = head.has(END_STREAM);
        match list.request() {
            Ok(asked) if has_all && asked.length.is_some_and(|length| length > 0) => {
                Ok(connection.refuse(head.stream, Reason::Protocol)?)
            }
            Ok(asked) => {
                let stream = connection.open(head.stream, asked.length, has_all);
                answer(Request::Opened(stream, asked, list));
                Ok(())
            }
            Err(Refused::TooLong) => {
                connection.asked_too_much()?;
                let stream = connection.open(head.stream, None, has_all);
                answer(Request::TooLong(stream, list));
                Ok(())
            }
            Err(Refused::Malformed) => Ok(connection.refuse(head.stream, Reason::Protocol)?),
        }
    }

    /// They end the body, and go no further than here: no app could tell who vouches for them.
    fn trailers(
        &self,
        head: &Head,
        list: &FieldList,
        connection: &Connection,
    ) -> Result<(), Reason> {
        let Some(stream) = connection.stream(head.stream) else {
            return match connection.was_reset(head.stream) || head.stream > self.last_answered {
                true => Ok(connection.received_nothing()?),
                false => Err(Reason::StreamClosed),
            };
        };
        let reason = if stream.has_all() {
            Reason::StreamClosed
        } else if !head.has(END_STREAM) || !list.is_trailers() {
            Reason::Protocol
        } else {
            let buffers = &connection.client.worker.buffers;
            match stream.receive(&[], 0, true, buffers) {
                Ok(()) => return Ok(()),
                Err(_) => Reason::Protocol,
            }
        };
        Ok(connection.refuse(head.stream, reason)?)
    }

    fn reset(&self, head: &Head, payload: &[u8], connection: &Connection) -> Result<(), Reason> {
        if payload.len() != 4 {
            return Err(Reason::FrameSize);
        }
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        connection.taken_back(head.stream);
        Ok(())
    }

    fn settings(
        &mut self,
        head: &Head,
        payload: &[u8],
        connection: &Connection,
    ) -> Result<(), Reason> {
        if !head.has(frame::ACK) {
            let changed = settings::read(payload)?;
            return connection
                .settings(changed)
                .map_err(|_| Reason::FlowControl);
        }
        if !payload.is_empty() {
            return Err(Reason::FrameSize);
        }
        match std::mem::take(&mut self.awaits_acknowledgement) {
            true => Ok(()),
            false => Err(Reason::Protocol),
        }
    }

    fn ping(&mut self, head: &Head, payload: &[u8], connection: &Connection) -> Result<(), Reason> {
        let payload = payload.try_into().map_err(|_| Reason::FrameSize)?;
        if head.has(frame::ACK) {
            self.has_heard |= payload == LEAVE;
        } else {
            connection.say(&frame::ping(frame::ACK, payload));
        }
        Ok(())
    }

    fn window_update(
        &self,
        head: &Head,
        payload: &[u8],
        connection: &Connection,
    ) -> Result<(), Reason> {
        let bytes = frame::read_number(payload).ok_or(Reason::FrameSize)?;
        if head.stream == 0 {
            let opened = connection.open_window(bytes);
            return match (bytes, opened) {
                (0, _) => Err(Reason::Protocol),
                (_, Ok(())) => Ok(()),
                (_, Err(_)) => Err(Reason::FlowControl),
            };
        }
        if self.is_idle(head.stream) {
            return Err(Reason::Protocol);
        }
        let Some(stream) = connection.stream(head.stream) else {
            return Ok(());
        };
        let reason = match (bytes, stream.open_window(bytes)) {
            (0, _) => Reason::Protocol,
            (_, Ok(())) => return Ok(()),
            (_, Err(_)) => Reason::FlowControl,
        };
        Ok(connection.refuse(head.stream, reason)?)
    }
}

/// Priorities are nobody's business here, but a stream that depends on itself is an error.
fn priority(head: &Head, payload: &[u8], connection: &Connection) -> Result<(), Reason> {
    let on = payload.first_chunk::<4>().filter(|_| payload.len() == 5);
    let on = on.and_then(|on| frame::read_number(on));
    match on {
        None => Err(Reason::FrameSize),
        Some(on) if on != head.stream => Ok(()),
        Some(_) if connection.stream(head.stream).is_none() => Err(Reason::Protocol),
        Some(_) => Ok(connection.refuse(head.stream, Reason::Protocol)?),
    }
}

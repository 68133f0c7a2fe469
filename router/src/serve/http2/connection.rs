//! What a connection's own task shares with those of its streams: what is on its way to the client, how much of it may be,
//! and who waits to send more.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker, ready};
use std::time::Instant;

use super::calm::{Calm, Enough};
use super::stream::{Stream, Turn};
use crate::buffer::Buf;
use crate::client::Client;
use crate::http2::frame::{
    self, DATA, END_HEADERS, END_STREAM, HEADERS, Head, MAX_PAYLOAD, Reason,
};
use crate::http2::hpack::Encoder;
use crate::http2::settings::{self, CONNECTION_WINDOW};
use crate::http2::window::{self, TooWide, Window};
use crate::watcher::Watcher;

/// While so much waits to be written, bodies wait, in bytes.
const OUT_MOST: usize = 64 * 1024;
/// While so much does, the client is not listened to, for what it says may have to be answered.
const OUT_FULL: usize = 2 * OUT_MOST;
/// What of a piece is less than this, in bytes, was all that a window had room for.
const LEAST_DATA: usize = 1024;
/// Streams that we reset, of which the client may not know yet.
const RESETS_KEPT: usize = 256;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Rc<Client>,
    inner: RefCell<Inner>,
    /// The connection's own task.
    watcher: Watcher,
    /// Streams whose tasks have not ended.
    under_way: Cell<u32>,
}

#[derive(Debug)]
struct Inner {
    out: Buf,
    encoder: Encoder,
    /// What we may send before the client says more.
    window: Window,
    /// What the client may send before we say more.
    their_window: Window,
    /// What has been passed on of that.
    passed_on: u32,
    /// What each stream's begins with.
    stream_window: i32,
    /// Those that are open, by number.
    streams: Vec<Rc<Stream>>,
    /// Bodies that wait for room or for the connection's window, in turn.
    waiting: VecDeque<Rc<Stream>>,
    /// What waits for room alone.
    for_room: Vec<Rc<Stream>>,
    calm: Calm,
    /// Ours, the latest last.
    resets: VecDeque<u32>,
    /// Bytes of answers' bodies that have gone, or are about to.
    data_gone: u64,
}

impl Connection {
    pub(super) fn new(client: Rc<Client>) -> Rc<Self> {
        let worker = &client.worker;
        let mut out = Buf::new(worker.buffers.clone());
        out.push(&settings::ours());
        let at_first = window::AT_FIRST.cast_signed();
        let inner = RefCell::new(Inner {
            out,
            encoder: Encoder::new(),
            window: Window::new(at_first),
            their_window: Window::new(CONNECTION_WINDOW.cast_signed()),
            passed_on: 0,
            stream_window: at_first,
            streams: Vec::new(),
            waiting: VecDeque::new(),
            for_room: Vec::new(),
            calm: Calm::new(worker.alarms.now()),
            resets: VecDeque::new(),
            data_gone: 0,
        });
        Rc::new(Self {
            client,
            inner,
            watcher: Watcher::default(),
            under_way: Cell::new(0),
        })
    }

    /// Whom to wake when there is something to write.
    pub(super) fn watch(&self, waker: &Waker) {
        self.watcher.watch(waker);
    }

    fn wake(&self) {
        self.watcher.wake();
    }

    /// How many streams are not over, those that were reset and have not noticed included.
    pub(super) fn under_way(&self) -> u32 {
        self.under_way.get()
    }

    /// Bytes of answers' bodies that have gone, or are about to.
    pub(super) fn data_gone(&self) -> u64 {
        self.inner.borrow().data_gone
    }

    /// Whether the client has to take something before it is listened to.
    pub(super) fn is_full(&self) -> bool {
        self.inner.borrow().out.len() >= OUT_FULL
    }

    /// What is to be written next.
    pub(super) fn with_out<R>(&self, with: impl FnOnce(&mut Buf) -> R) -> R {
        with(&mut self.inner.borrow_mut().out)
    }

    /// A frame of ours.
    pub(super) fn say(&self, frame: &[u8]) {
        self.inner.borrow_mut().out.push(frame);
        self.wake();
    }

    /// It asks with more fields than anybody takes, which costs us more than they cost it.
    pub(super) fn asked_too_much(&self) -> Result<(), Enough> {
        self.inner.borrow_mut().calm.asked_too_much()
    }

    /// What came is for nobody, or says nothing.
    pub(super) fn received_nothing(&self) -> Result<(), Enough> {
        self.inner.borrow_mut().calm.received_nothing()
    }

    /// A frame came.
    pub(super) fn count(&self, head: &Head, now: Instant) -> Result<(), Enough> {
        self.inner.borrow_mut().calm.received(head, now)
    }

    /// Lets those have their turn for whom there is room. Whether somebody still waits.
    pub(super) fn let_in(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let room = OUT_MOST.saturating_sub(inner.out.len());
        if room > 0 {
            for stream in inner.for_room.drain(..) {
                stream.wake();
            }
        }
        let frames = match inner.window.left() {
            0 => 0,
            _ => room.div_ceil(MAX_PAYLOAD),
        };
        for _ in 0..frames {
            let Some(stream) = inner.waiting.pop_front() else {
                break;
            };
            stream.is_given_turn();
        }
        frames > 0 && !inner.waiting.is_empty()
    }
}

/// What the client does.
impl Connection {
    /// It asks: a new stream.
    pub(super) fn open(&self, id: u32, length: Option<u64>, has_all: bool) -> Rc<Stream> {
        let mut inner = self.inner.borrow_mut();
        let stream = Stream::new(id, inner.stream_window, length, has_all);
        inner.streams.push(stream.clone());
        self.under_way.set(self.under_way.get() + 1);
        stream
    }

    /// Whether it has as many streams open as it may; and of those that it took back a few may not have noticed yet.
    pub(super) fn has_enough(&self) -> bool {
        let most = settings::STREAMS;
        self.inner.borrow().streams.len() >= most as usize || self.under_way.get() >= 2 * most
    }

    pub(super) fn stream(&self, id: u32) -> Option<Rc<Stream>> {
        let inner = self.inner.borrow();
        let at = inner.find(id)?;
        inner.streams.get(at).cloned()
    }

    /// Whether we reset it a while ago: then the client may not have known when it spoke of it.
    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.inner.borrow().resets.contains(&id)
    }

    /// It has taken back a request.
    pub(super) fn taken_back(&self, id: u32) {
        let mut inner = self.inner.borrow_mut();
        if let Some(stream) = inner.remove(id) {
            stream.end();
        }
    }

    /// What the client did wrong with a stream is answered, and counted as if it had taken the request back itself
    /// (CVE-2025-8671).
    pub(super) fn refuse(&self, id: u32, reason: Reason) -> Result<(), Enough> {
        let mut inner = self.inner.borrow_mut();
        if let Some(stream) = inner.remove(id) {
            stream.end();
        }
        inner.reset(id, reason);
        inner.calm.erred()
    }

    pub(super) fn settings(&self, changed: settings::Changed) -> Result<(), TooWide> {
        let mut inner = self.inner.borrow_mut();
        if let Some(most) = changed.header_table {
            inner.encoder.set_table_size(most);
        }
        if let Some(new) = changed.stream_window {
            let old = std::mem::replace(&mut inner.stream_window, new);
            for stream in &inner.streams {
                stream.shift_window(old, new)?;
            }
        }
        inner.out.push(&settings::acknowledgement());
        Ok(())
    }

    /// It takes so many more bytes, of all streams together.
    pub(super) fn open_window(&self, bytes: u32) -> Result<(), TooWide> {
        self.inner.borrow_mut().window.open(bytes)
    }

    /// So much of its window is used up.
    pub(super) fn received(&self, bytes: usize) -> bool {
        self.inner.borrow_mut().their_window.take(bytes)
    }

    /// So much of a body was passed on, or is nobody's: the client may send as much again.
    pub(super) fn passed_on(&self, bytes: usize) {
        let mut inner = self.inner.borrow_mut();
        // No more than the window.
        inner.passed_on += u32::try_from(bytes).unwrap_or(CONNECTION_WINDOW);
        if inner.passed_on >= CONNECTION_WINDOW / 2 {
            let more = std::mem::take(&mut inner.passed_on);
            // It was taken from there.
            let _ = inner.their_window.open(more);
            inner.out.push(&frame::window_update(0, more));
            self.wake();
        }
    }

    /// The connection has ended, and all its streams.
    pub(super) fn end(&self) {
        let streams = std::mem::take(&mut self.inner.borrow_mut().streams);
        for stream in streams {
            stream.end();
        }
    }
}

/// What a stream's task does.
impl Connection {
    /// Ready when there is room for what no window bounds: a head or an end, which is to be put in at once.
    pub(super) fn poll_room(&self, stream: &Rc<Stream>) -> Poll<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.out.len() < OUT_MOST {
            return Poll::Ready(());
        }
        if !inner.for_room.iter().any(|waiting| waiting.id == stream.id) {
            inner.for_room.push(stream.clone());
        }
        Poll::Pending
    }

    /// The head of an answer, or what is to be said after its body; `encode` puts it into a header block.
    pub(super) fn head(
        &self,
        stream: &Stream,
        is_last: bool,
        encode: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let mut inner = self.inner.borrow_mut();
        let mut block = self.client.worker.buffers.take_text();
        inner.encoder.begin(&mut block);
        encode(&mut inner.encoder, &mut block);
        inner.head(stream.id, is_last, &block);
        drop(inner);
        self.client.worker.buffers.put_text(block);
        if is_last {
            stream.ends();
        }
        self.wake();
    }

    /// Sends what it can of a piece of a body, which is not empty, and gives how much that was. `is_last`: the body ends
    /// with the piece.
    pub(super) fn poll_data(
        &self,
        stream: &Rc<Stream>,
        piece: &[u8],
        is_last: bool,
    ) -> Poll<usize> {
        let mut inner = self.inner.borrow_mut();
        let mut sent = 0;
        while let Some(rest) = piece.get(sent..).filter(|rest| !rest.is_empty()) {
            let most = rest.len().min(MAX_PAYLOAD).min(stream.window());
            if most == 0 || !inner.has_turn(stream) {
                break;
            }
            let some = most.min(inner.window.left());
            if some == 0 {
                inner.wait(stream);
                break;
            }
            let (now, later) = rest.split_at(some);
            // Who opens windows by a byte earns nothing by it.
            let is_due = some >= LEAST_DATA || later.is_empty();
            inner.data(stream, now, is_last && later.is_empty(), is_due);
            stream.had_turn();
            sent += some;
        }
        drop(inner);
        if sent == 0 {
            return Poll::Pending;
        }
        self.wake();
        Poll::Ready(sent)
    }

    /// A body that has ended before this was known.
    pub(super) fn poll_end(&self, stream: &Rc<Stream>) -> Poll<()> {
        ready!(self.poll_room(stream));
        self.inner.borrow_mut().data(stream, &[], true, true);
        self.wake();
        Poll::Ready(())
    }

    /// A stream's window is opened by as much as was passed on.
    pub(super) fn open_theirs(&self, stream: &Stream, bytes: u32) {
        self.say(&frame::window_update(stream.id, bytes));
    }

    /// A stream's task has no more to do with it. What is not complete is reset.
    pub(super) fn release(&self, stream: &Stream) {
        let mut inner = self.inner.borrow_mut();
        inner.forget(stream);
        if inner.remove(stream.id).is_some() && !(stream.has_ended() && stream.has_all()) {
            let reason = match stream.has_ended() {
                // The client may stop sending what nobody needs.
                true => Reason::NoError,
                false => Reason::Internal,
            };
            inner.reset(stream.id, reason);
        }
        drop(inner);
        self.under_way.set(self.under_way.get().saturating_sub(1));
        // It may be the last one that was waited for, or have had a turn that it does not use.
        self.wake();
    }
}

impl Inner {
    fn find(&self, id: u32) -> Option<usize> {
        self.streams
            .binary_search_by_key(&id, |stream| stream.id)
            .ok()
    }

    fn remove(&mut self, id: u32) -> Option<Rc<Stream>> {
        let at = self.find(id)?;
        Some(self.streams.remove(at))
    }

    /// It waits for nothing any more. Else one who asks and takes back would leave something behind each time.
    fn forget(&mut self, stream: &Stream) {
        if stream.turn() == Turn::Waiting {
            self.waiting.retain(|waiting| waiting.id != stream.id);
        }
        self.for_room.retain(|waiting| waiting.id != stream.id);
    }

    fn reset(&mut self, id: u32, reason: Reason) {
        self.out.push(&frame::reset(id, reason));
        if self.resets.len() == RESETS_KEPT {
            self.resets.pop_front();
        }
        self.resets.push_back(id);
    }

    /// Whether the stream may put something in. If not, it is woken when it may. Where others wait, it is a frame's turn
    /// each.
    fn has_turn(&mut self, stream: &Rc<Stream>) -> bool {
        let may = match stream.turn() {
            Turn::Waiting => return false,
            Turn::Given => true,
            Turn::None => self.waiting.is_empty(),
        };
        if may && self.out.len() < OUT_MOST {
            return true;
        }
        self.wait(stream);
        false
    }

    fn wait(&mut self, stream: &Rc<Stream>) {
        if stream.turn() != Turn::Waiting {
            stream.waits();
            self.waiting.push_back(stream.clone());
        }
    }

    fn head(&mut self, stream: u32, is_last: bool, block: &[u8]) {
        let mut pieces = block.chunks(MAX_PAYLOAD).peekable();
        let (mut kind, mut flags) = (HEADERS, if is_last { END_STREAM } else { 0 });
        loop {
            let piece = pieces.next().unwrap_or_default();
            if pieces.peek().is_none() {
                flags |= END_HEADERS;
            }
            let head = Head {
                kind,
                flags,
                length: piece.len(),
                stream,
            };
            self.out.push(&head.write());
            self.out.push(piece);
            self.calm.sent(&head);
            if flags & END_HEADERS != 0 {
                break;
            }
            (kind, flags) = (frame::CONTINUATION, 0);
        }
    }

    fn data(&mut self, stream: &Stream, piece: &[u8], is_last: bool, is_due: bool) {
        let head = Head {
            kind: DATA,
            flags: if is_last { END_STREAM } else { 0 },
            length: piece.len(),
            stream: stream.id,
        };
        self.window.take(piece.len());
        stream.sent(piece.len(), is_last);
        self.out.push(&head.write());
        self.out.push(piece);
        if is_due {
            self.calm.sent(&head);
        }
        self.data_gone += piece.len() as u64;
    }
}

//! A stream's answer, written as HTTP/1.1 has it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Buf as _, BytesMut};
use h2::RecvStream;
use http::Response;
use http::header::CONTENT_LENGTH;
use tokio::io::{AsyncWrite as _, AsyncWriteExt as _, DuplexStream, WriteHalf};

use super::into_io;
use crate::http1::chunks::push_size;
use crate::http1::{push_decimal, push_field};

/// All of it, to its end.
pub(super) async fn answer(
    response: Response<RecvStream>,
    is_head: bool,
    to: &mut WriteHalf<DuplexStream>,
) -> io::Result<()> {
    let (parts, mut body) = response.into_parts();
    let has_length = parts.headers.contains_key(CONTENT_LENGTH);
    let is_empty = body.is_end_stream();
    let mut text = b"HTTP/1.1 ".to_vec();
    push_decimal(&mut text, parts.status.as_u16().into());
    text.push(b' ');
    text.extend_from_slice(
        parts
            .status
            .canonical_reason()
            .unwrap_or_default()
            .as_bytes(),
    );
    // The bridge is for one request. It does not wait for the rest of one that was answered before its end.
    text.extend_from_slice(b"\r\nConnection: close\r\n");
    for (name, value) in &parts.headers {
        push_field(&mut text, name.as_str().as_bytes(), value.as_bytes());
    }
    let has_body = !is_head && !matches!(parts.status.as_u16(), 204 | 304);
    let is_chunked = !is_empty && !has_length;
    match (is_chunked, has_length) {
        (true, _) => text.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        (false, false) if has_body => text.extend_from_slice(b"Content-Length: 0\r\n"),
        _ => {}
    }
    text.extend_from_slice(b"\r\n");
    to.write_all(&text).await?;
    pour(&mut body, is_chunked, to).await?;
    let trailers = body.trailers().await.map_err(into_io)?;
    if is_chunked {
        text.clear();
        text.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter().flatten() {
            push_field(&mut text, name.as_str().as_bytes(), value.as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        to.write_all(&text).await?;
    }
    to.shutdown().await
}

/// Writes a body. What has come is taken at once, however slow the client is, for the library counts small frames that wait:
/// too many of them end the connection for everybody. The stream's window, opened as it is written, bounds what is held.
async fn pour(
    body: &mut RecvStream,
    is_chunked: bool,
    to: &mut WriteHalf<DuplexStream>,
) -> io::Result<()> {
    let (mut come, mut out, mut length) = (BytesMut::new(), BytesMut::new(), 0);
    let mut is_over = false;
    poll_fn(|cx| {
        loop {
            while !is_over && let Poll::Ready(data) = body.poll_data(cx) {
                match data {
                    Some(data) => come.extend_from_slice(&data.map_err(into_io)?),
                    None => is_over = true,
                }
            }
            if out.is_empty() {
                // Refused: the stream is over, as is told in its place.
                let _ = body
                    .flow_control()
                    .release_capacity(std::mem::take(&mut length));
                if come.is_empty() {
                    return if is_over {
                        Poll::Ready(Ok(()))
                    } else {
                        Poll::Pending
                    };
                }
                length = come.len();
                if is_chunked {
                    let mut size = Vec::new();
                    push_size(&mut size, length);
                    out.extend_from_slice(&size);
                }
                out.unsplit(come.split());
                if is_chunked {
                    out.extend_from_slice(b"\r\n");
                }
            }
            let written = ready!(Pin::new(&mut *to).poll_write(cx, &out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.advance(written);
        }
    })
    .await
}

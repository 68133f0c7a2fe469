//! Standard input, on a thread of its own: reading it cannot be interrupted, so nobody waits for it.

use std::io::{self, Read as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use controller_api::attach::{Control, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::Kind;

const CTRL_C: u8 = 3;

/// Four Ctrl-C within a second let go of a dyno that does not answer.
const GIVE_UP: (usize, Duration) = (4, Duration::from_secs(1));

/// Sends what is typed or piped as frames of at most `frame_bytes`, and the end of it.
pub(super) fn read_stdin(
    outbox: mpsc::Sender<Message>,
    kind: Kind,
    frame_bytes: usize,
    give_up: oneshot::Sender<()>,
) -> Result<()> {
    let read = move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; frame_bytes];
        let mut impatience = Impatience::default();
        loop {
            match stdin.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    let _ = outbox.blocking_send(super::control(&Control::Eof(true)));
                    return;
                }
                Ok(length) => {
                    let data = &buffer[..length];
                    if kind == Kind::Terminal && impatience.runs_out(data, Instant::now()) {
                        let _ = give_up.send(());
                        return;
                    }
                    if outbox
                        .blocking_send(Message::binary(Stream::Stdin.frame(data)))
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
    };
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(read)
        .context("could not start reading standard input")?;
    Ok(())
}

/// When Ctrl-C was pressed of late.
#[derive(Debug, Default)]
struct Impatience(Vec<Instant>);

impl Impatience {
    fn runs_out(&mut self, typed: &[u8], now: Instant) -> bool {
        let (times, within) = GIVE_UP;
        self.0.retain(|at| now.duration_since(*at) < within);
        let pressed = typed.iter().filter(|byte| **byte == CTRL_C).count();
        self.0.extend(std::iter::repeat_n(now, pressed));
        self.0.len() >= times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_ctrl_c_within_a_second_give_up_and_fewer_do_not() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut slow = Impatience::default();
        assert!(
            [0, 400, 800, 1200, 1600]
                .iter()
                .all(|ms| !slow.runs_out(b"\x03", at(*ms)))
        );
        let mut fast = Impatience::default();
        assert!(
            [0, 100, 200]
                .iter()
                .all(|ms| !fast.runs_out(b"x\x03", at(*ms)))
        );
        assert!(fast.runs_out(b"\x03", at(300)));
    }
}

//! What a push says: to its pusher, and to the build's log. Both are bounded, neither ever makes the build wait.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::live::Voice;
use crate::config::Limits;
use crate::words;

#[derive(Debug)]
pub(crate) struct Transcript {
    client: mpsc::UnboundedSender<Bytes>,
    /// For whoever else listens.
    voice: Option<Voice>,
    shown: u64,
    shown_limit: u64,
    log: Option<Log>,
    /// Said before there was a log.
    early: Vec<u8>,
    /// What was last said did not end its line.
    mid_line: bool,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: io::BufWriter<fs_err::File>,
}

impl Transcript {
    pub(crate) fn new(client: mpsc::UnboundedSender<Bytes>, limits: &Limits) -> Self {
        Self {
            client,
            voice: None,
            shown: 0,
            shown_limit: limits.shown_bytes,
            log: None,
            early: Vec::new(),
            mid_line: false,
        }
    }

    /// From now on what the pusher is shown can be heard by others; and what was said before.
    pub(crate) fn let_hear(&mut self, voice: Voice) {
        voice.say(&self.early);
        self.voice = Some(voice);
    }

    /// From now on all is kept in a file as well, what was said before included.
    pub(crate) fn keep_in(&mut self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(fs_err::File::create(path)?);
        file.write_all(&std::mem::take(&mut self.early))?;
        self.log = Some(Log {
            path: path.to_owned(),
            file,
        });
        Ok(())
    }

    /// `-----> Launching...`
    pub(crate) fn topic(&mut self, text: &str) {
        self.line("-----> ", text);
    }

    /// `       Released v3`
    pub(crate) fn detail(&mut self, text: &str) {
        self.line("       ", text);
    }

    /// ` !     Push rejected`
    pub(crate) fn problem(&mut self, text: &str) {
        self.line(" !     ", text);
    }

    pub(crate) fn blank(&mut self) {
        self.line("", "");
    }

    /// Bytes as they are, whole lines or not.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.mid_line = !bytes.ends_with(b"\n");
        match &mut self.log {
            // A log that cannot be written must not fail a build: what counts, the pusher reads.
            Some(log) => drop(log.file.write_all(bytes)),
            None if self.early.len() < EARLY_LIMIT => self.early.extend_from_slice(bytes),
            None => {}
        }
        self.show(bytes);
    }

    /// The log so far, all of it on disk.
    pub(crate) fn flushed_log(&mut self) -> Option<&Path> {
        let log = self.log.as_mut()?;
        let _ = log.file.flush();
        Some(&log.path)
    }

    fn line(&mut self, prefix: &str, text: &str) {
        let line_end = if self.mid_line { "\n" } else { "" };
        self.raw(format!("{line_end}{prefix}{text}\n").as_bytes());
    }

    fn show(&mut self, bytes: &[u8]) {
        let left = self.shown_limit.saturating_sub(self.shown);
        if left == 0 && self.shown > self.shown_limit {
            return;
        }
        let length = bytes.len() as u64;
        // Nobody may be listening any more.
        if length <= left {
            self.tell(Bytes::copy_from_slice(bytes));
            self.shown += length;
        } else {
            let limit = words::limit(self.shown_limit);
            let note = format!(
                "\n !     Output truncated: {limit} were shown. The build goes on, and its log has the rest.\n"
            );
            self.tell(note.into());
            // Room for the last words, which name the outcome.
            self.shown = self.shown_limit + 1;
        }
    }

    fn tell(&self, bytes: Bytes) {
        if let Some(voice) = &self.voice {
            voice.say(&bytes);
        }
        let _ = self.client.send(bytes);
    }

    /// From here on the pusher is shown everything again: the build has ended, and what follows is ours.
    pub(crate) fn build_has_ended(&mut self) {
        self.shown = 0;
        self.shown_limit = LAST_WORDS;
    }
}

const EARLY_LIMIT: usize = 64 * 1024;
const LAST_WORDS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(transcript: Transcript, mut client: mpsc::UnboundedReceiver<Bytes>) -> String {
        drop(transcript);
        let mut text = Vec::new();
        while let Ok(bytes) = client.try_recv() {
            text.extend_from_slice(&bytes);
        }
        String::from_utf8(text).unwrap()
    }

    fn limits(shown_bytes: u64) -> Limits {
        Limits {
            shown_bytes,
            ..Limits::heroku()
        }
    }

    #[test]
    fn lines_have_herokus_prefixes_and_begin_at_the_margin() {
        let (client, receiver) = mpsc::unbounded_channel();
        let mut transcript = Transcript::new(client, &limits(1000));
        transcript.topic("Launching...");
        transcript.raw(b"half a li");
        transcript.problem("Push failed");
        transcript.detail("Released v3");
        assert_eq!(
            shown(transcript, receiver),
            "-----> Launching...\nhalf a li\n !     Push failed\n       Released v3\n"
        );
    }

    #[test]
    fn the_pusher_is_shown_so_much_and_the_last_words_and_the_log_has_all() {
        let dir = tempfile::tempdir().unwrap();
        let (client, receiver) = mpsc::unbounded_channel();
        let mut transcript = Transcript::new(client, &limits(20));
        transcript.raw(b"early\n");
        transcript.keep_in(&dir.path().join("log")).unwrap();
        for _ in 0..100 {
            transcript.raw(b"0123456789\n");
        }
        transcript.build_has_ended();
        transcript.detail("Released v3");
        let log = std::fs::read_to_string(transcript.flushed_log().unwrap()).unwrap();
        let shown = shown(transcript, receiver);
        assert_eq!(shown.matches("0123456789").count(), 1);
        assert_eq!(shown.matches("Output truncated").count(), 1);
        assert!(shown.ends_with("       Released v3\n"), "{shown}");
        assert_eq!(log.matches("0123456789").count(), 100);
        assert!(log.starts_with("early\n"));
    }
}

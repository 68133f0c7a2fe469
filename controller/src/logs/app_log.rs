//! One app's log: at most two files, the newer of which is written.
//!
//! A file is named after its first line's number. When the newer one is full, the older one is deleted and a new one
//! begun.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::{File, OpenOptions};
use model::log::LogLine;
use tokio::sync::watch;
use tokio::time::Instant;

use super::segment::{Segment, repair, scan, segment_files};
use super::{Filter, LogError, line};

const MAX_SEGMENTS: usize = 2;
/// How much one [`AppLog::read`] looks at.
const READ_BYTES: u64 = 512 << 10;

#[derive(Debug)]
pub(super) struct AppLog {
    dir: PathBuf,
    max_bytes: u64,
    /// Oldest first; the last is the one written.
    segments: VecDeque<Segment>,
    /// Opened by the first write.
    file: Option<File>,
    next_id: u64,
    latest: watch::Sender<u64>,
    used: Instant,
}

/// Where in the log a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    segment: u64,
    offset: u64,
    /// The number of the line that is expected there.
    pub(crate) next_id: u64,
}

/// What a reading gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Number and text, oldest first.
    pub(crate) lines: Vec<(u64, String)>,
    /// Lines that were rotated away before they could be read.
    pub(crate) lost: u64,
}

impl AppLog {
    pub(super) fn open(dir: PathBuf, max_bytes: u64) -> Result<Self, LogError> {
        let mut segments = VecDeque::new();
        let mut next_id = 1;
        for (first_id, path) in segment_files(&dir)? {
            let (bytes, last_id) = repair(&path)?;
            next_id = last_id.map_or(first_id, |last| last + 1).max(next_id);
            segments.push_back(Segment {
                first_id,
                path,
                bytes,
            });
        }
        let latest = watch::Sender::new(next_id);
        Ok(Self {
            dir,
            max_bytes,
            segments,
            file: None,
            next_id,
            latest,
            used: Instant::now(),
        })
    }

    pub(super) fn append(&mut self, lines: &[LogLine]) -> Result<(), LogError> {
        self.used = Instant::now();
        let mut text = String::new();
        for line in lines {
            // A segment that is full ends before this line.
            if self.written() + text.len() as u64 >= self.max_bytes || self.segments.is_empty() {
                self.write(&text)?;
                text.clear();
                self.rotate()?;
            }
            line::write(&mut text, self.next_id, line);
            self.next_id += 1;
        }
        self.write(&text)?;
        self.latest.send_replace(self.next_id);
        Ok(())
    }

    pub(super) fn backlog(
        &mut self,
        filter: &Filter,
        count: usize,
    ) -> Result<(Lines, Cursor), LogError> {
        self.used = Instant::now();
        let mut newest: VecDeque<(u64, String)> = VecDeque::new();
        for segment in self.segments.iter().rev() {
            let wanted = count - newest.len();
            if wanted == 0 {
                break;
            }
            let mut found = VecDeque::new();
            scan(segment, 0, u64::MAX, |id, line| {
                if filter.passes(line) {
                    if found.len() == wanted {
                        found.pop_front();
                    }
                    found.push_back((id, line.to_owned()));
                }
                true
            })?;
            found.extend(newest);
            newest = found;
        }
        Ok((
            Lines {
                lines: newest.into(),
                lost: 0,
            },
            self.end(),
        ))
    }

    pub(super) fn seek(&mut self, id: u64) -> Result<Cursor, LogError> {
        self.used = Instant::now();
        let next_id = id.saturating_add(1);
        let Some(segment) = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.first_id <= next_id)
        else {
            return Ok(Cursor {
                segment: 0,
                offset: 0,
                next_id,
            });
        };
        let offset = scan(segment, 0, u64::MAX, |id, _| id < next_id)?.unwrap_or(0);
        // A number that was never given out yet (of a log that was removed, say) means the end.
        Ok(if next_id > self.next_id {
            self.end()
        } else {
            Cursor {
                segment: segment.first_id,
                offset,
                next_id,
            }
        })
    }

    pub(super) fn read(
        &mut self,
        cursor: Cursor,
        filter: &Filter,
    ) -> Result<(Lines, Cursor), LogError> {
        self.used = Instant::now();
        let mut read = Lines::default();
        let Some(index) = self
            .segments
            .iter()
            .position(|segment| segment.first_id >= cursor.segment)
        else {
            return Ok((read, cursor));
        };
        let segment = &self.segments[index];
        let mut at = cursor;
        if segment.first_id != cursor.segment {
            // The one that was being read is gone.
            read.lost = segment.first_id.saturating_sub(cursor.next_id);
            at = Cursor {
                segment: segment.first_id,
                offset: 0,
                next_id: segment.first_id.max(cursor.next_id),
            };
        }
        let scanned = scan(segment, at.offset, READ_BYTES, |id, line| {
            at.next_id = id + 1;
            if filter.passes(line) {
                read.lines.push((id, line.to_owned()));
            }
            true
        })?;
        at.offset = scanned.unwrap_or(segment.bytes);
        if at.offset >= segment.bytes
            && let Some(next) = self.segments.get(index + 1)
        {
            // More than nothing only when the file had been deleted.
            read.lost += next.first_id.saturating_sub(at.next_id);
            at = Cursor {
                segment: next.first_id,
                offset: 0,
                next_id: next.first_id,
            };
        }
        Ok((read, at))
    }

    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    pub(super) fn is_idle(&self, idle: Duration) -> bool {
        self.latest.receiver_count() == 0 && self.used.elapsed() > idle
    }

    fn end(&self) -> Cursor {
        let (segment, offset) = self
            .segments
            .back()
            .map_or((0, 0), |segment| (segment.first_id, segment.bytes));
        Cursor {
            segment,
            offset,
            next_id: self.next_id,
        }
    }

    fn written(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.bytes)
    }

    fn write(&mut self, text: &str) -> Result<(), LogError> {
        let Some(segment) = self.segments.back_mut().filter(|_| !text.is_empty()) else {
            return Ok(());
        };
        let failed = |source| LogError::File {
            path: segment.path.clone(),
            source,
        };
        if self.file.is_none() {
            self.file = Some(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&segment.path)
                    .map_err(failed)?,
            );
        }
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            // Part of it may be there: back to what is known to be whole.
            let _ = file.file().set_len(segment.bytes);
            self.file = None;
            return Err(failed(error));
        }
        segment.bytes += text.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LogError::File { path, source }
        };
        fs_err::create_dir_all(&self.dir).map_err(failed(&self.dir))?;
        self.file = None;
        while self.segments.len() >= MAX_SEGMENTS {
            if let Some(oldest) = self.segments.pop_front() {
                match fs_err::remove_file(&oldest.path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(failed(&oldest.path)(error));
                    }
                    _ => {}
                }
            }
        }
        let path = self.dir.join(format!("{:020}.log", self.next_id));
        self.segments.push_back(Segment {
            first_id: self.next_id,
            path,
            bytes: 0,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use model::log::LogSource;
    use model::{AppId, Timestamp};

    use super::*;

    fn lines(range: std::ops::Range<u64>) -> Vec<LogLine> {
        range
            .map(|n| LogLine {
                app: AppId::new(),
                at: Timestamp::UNIX_EPOCH,
                source: if n % 2 == 0 {
                    LogSource::App
                } else {
                    LogSource::Heroku
                },
                process: "web.1".to_owned(),
                text: format!("line {n}"),
            })
            .collect()
    }

    fn ids(lines: &Lines) -> Vec<u64> {
        lines.lines.iter().map(|(id, _)| *id).collect()
    }

    fn read_all(log: &mut AppLog, mut cursor: Cursor) -> (Vec<u64>, u64) {
        let (mut seen, mut lost) = (Vec::new(), 0);
        loop {
            let (read, next) = log.read(cursor, &Filter::default()).unwrap();
            seen.extend(ids(&read));
            lost += read.lost;
            if next == cursor {
                return (seen, lost);
            }
            cursor = next;
        }
    }

    #[test]
    fn the_backlog_is_the_newest_lines_that_pass_and_reading_goes_on_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AppLog::open(dir.path().join("a"), 1 << 20).unwrap();
        let (empty, start) = log.backlog(&Filter::default(), 10).unwrap();
        assert!(empty.lines.is_empty());
        log.append(&lines(1..21)).unwrap();
        assert_eq!(read_all(&mut log, start).0, (1..21).collect::<Vec<_>>());
        let app_only = Filter {
            source: Some(LogSource::App),
            process: None,
        };
        let (backlog, end) = log.backlog(&app_only, 3).unwrap();
        assert_eq!(ids(&backlog), [16, 18, 20]);
        assert!(backlog.lines[2].1.ends_with("app[web.1]: line 20"));
        log.append(&lines(21..25)).unwrap();
        assert_eq!(ids(&log.read(end, &app_only).unwrap().0), [22, 24]);
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_what_it_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AppLog::open(dir.path().to_owned(), 1000).unwrap();
        log.append(&lines(1..3)).unwrap();
        let (_, cursor) = log.backlog(&Filter::default(), 1).unwrap();
        log.append(&lines(3..1000)).unwrap();
        let (seen, lost) = read_all(&mut log, cursor);
        assert!(lost > 0);
        assert_eq!((seen[0], seen[seen.len() - 1]), (3 + lost, 999));
        assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert!(segment_files(dir.path()).unwrap().len() <= MAX_SEGMENTS);
    }

    #[test]
    fn numbers_go_on_after_a_restart_and_a_torn_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AppLog::open(dir.path().to_owned(), 1 << 20).unwrap();
        log.append(&lines(1..6)).unwrap();
        drop(log);
        let path = segment_files(dir.path()).unwrap().pop().unwrap().1;
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"6 2012-10-11T0")
            .unwrap();
        let mut log = AppLog::open(dir.path().to_owned(), 1 << 20).unwrap();
        log.append(&lines(6..8)).unwrap();
        let (backlog, _) = log.backlog(&Filter::default(), 100).unwrap();
        assert_eq!(ids(&backlog), [1, 2, 3, 4, 5, 6, 7]);
        let cursor = log.seek(4).unwrap();
        assert_eq!(read_all(&mut log, cursor).0, [5, 6, 7]);
        let cursor = log.seek(1000).unwrap();
        assert_eq!(read_all(&mut log, cursor).0, [0u64; 0]);
    }

    #[test]
    fn seeking_before_what_is_kept_counts_the_gap() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AppLog::open(dir.path().to_owned(), 500).unwrap();
        log.append(&lines(1..100)).unwrap();
        let cursor = log.seek(1).unwrap();
        let (seen, lost) = read_all(&mut log, cursor);
        assert_eq!((seen[0], *seen.last().unwrap()), (2 + lost, 99));
    }

    #[test]
    fn followers_hear_of_new_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = AppLog::open(dir.path().to_owned(), 500).unwrap();
        let follower = log.follow();
        log.append(&lines(1..4)).unwrap();
        assert_eq!(*follower.borrow(), 4);
        assert!(!log.is_idle(Duration::ZERO));
        drop(follower);
    }
}

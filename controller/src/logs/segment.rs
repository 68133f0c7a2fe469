//! One file of an app's log: named after the number of its first line.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};

use super::{LogError, line};

/// Longer than any line: a file's last whole line is within so many bytes of its end.
const TAIL_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first_id: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// An app's files, oldest first, with the numbers of their first lines.
pub(super) fn segment_files(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let failed = |source| LogError::File {
        path: dir.to_owned(),
        source,
    };
    let entries = match fs_err::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let first_id = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
        files.extend(first_id.map(|first_id| (first_id, path)));
    }
    files.sort();
    Ok(files)
}

/// Cuts a torn last line off; the file's size and its last line's number.
pub(super) fn repair(path: &Path) -> Result<(u64, Option<u64>), LogError> {
    let failed = |source| LogError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let start = size.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(failed)?;
    let whole = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    let bytes = start + whole as u64;
    if bytes < size {
        file.file().set_len(bytes).map_err(failed)?;
    }
    let last = tail[..whole]
        .strip_suffix(b"\n")
        .and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    let last_id = last
        .and_then(|last| line::split(std::str::from_utf8(last).ok()?))
        .map(|(id, _)| id);
    Ok((bytes, last_id))
}

/// Calls `each` with the whole lines from `offset` on, until it says no, or about `limit` bytes were read. Where it
/// stopped, before the line that was refused; `None` when there is no such file.
pub(super) fn scan(
    segment: &Segment,
    offset: u64,
    limit: u64,
    mut each: impl FnMut(u64, &str) -> bool,
) -> Result<Option<u64>, LogError> {
    let failed = |source| LogError::File {
        path: segment.path.clone(),
        source,
    };
    let mut file = match File::open(&segment.path) {
        Ok(file) => file,
        // Not written yet, or deleted to stay under the total.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut reader =
        BufReader::with_capacity(64 << 10, file.take(segment.bytes.saturating_sub(offset)));
    let (mut stored, mut at) = (String::new(), offset);
    while at - offset < limit {
        stored.clear();
        let count = reader.read_line(&mut stored).map_err(failed)?;
        if count == 0 {
            break;
        }
        // What is no stored line (a damaged disk) is passed over.
        let line = stored.strip_suffix('\n').and_then(line::split);
        if line.is_some_and(|(id, line)| !each(id, line)) {
            break;
        }
        at += count as u64;
    }
    Ok(Some(at))
}

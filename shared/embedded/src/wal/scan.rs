//! What opening finds: sealed segments give their index; the others are read through, cut where a crash tore them, and
//! sealed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::segment::{
    FrameError, Group, HEADER, HEADER_BYTES, INDEX, SegmentIndex, encode_seal, next_good_group, read_frame, read_group,
    read_seal, segment_number, segment_path,
};
use crate::OpenError;
use crate::folder::sync_dir;

/// The segments of a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: BTreeMap<u64, SegmentIndex>,
    /// The number of the next segment.
    pub(super) next_number: u64,
}

/// Opens all segments of a folder.
pub(super) fn open_segments(dir: &Path) -> Result<Found, OpenError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let name = entry.map_err(OpenError::io(dir))?.file_name();
        numbers.extend(name.to_str().and_then(segment_number));
    }
    let mut segments = BTreeMap::new();
    for &number in &numbers {
        let path = segment_path(dir, number);
        let index = open_segment(&path, number)?;
        if index.is_empty() {
            fs::remove_file(&path).and_then(|()| sync_dir(dir)).map_err(OpenError::io(&path))?;
        } else {
            segments.insert(number, index);
        }
    }
    Ok(Found { segments, next_number: numbers.into_iter().max().unwrap_or(0) + 1 })
}

fn open_segment(path: &Path, number: u64) -> Result<SegmentIndex, OpenError> {
    let io = || OpenError::io(path);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io())?;
    let size = file.metadata().map_err(io())?.len();
    if size < HEADER_BYTES {
        // The crash came before anything was promised.
        return Ok(SegmentIndex::default());
    }
    let mut header = HEADER;
    file.read_exact_at(&mut header, 0).map_err(io())?;
    if header != HEADER {
        return Err(damaged(path, 0, "not a segment of this version"));
    }
    if let Some(index) = read_seal(&file, number, size).map_err(io())? {
        return Ok(index);
    }
    let (index, end) = read_through(&file, path, number, size)?;
    if end < size {
        tracing::warn!(file = %path.display(), offset = end, torn_bytes = size - end, "cut off what a crash has torn");
        file.set_len(end).and_then(|()| file.sync_all()).map_err(io())?;
    }
    seal(&file, path, &index, number, end);
    Ok(index)
}

/// Indexes all good groups; gives where they end.
fn read_through(file: &File, path: &Path, number: u64, size: u64) -> Result<(SegmentIndex, u64), OpenError> {
    let mut index = SegmentIndex::default();
    let mut offset = HEADER_BYTES;
    while offset < size {
        match read_group(file, number, offset, size) {
            Ok(Group { entries, end }) => {
                entries.iter().for_each(|entry| index.add(entry.shard, entry.minute, &(offset..end)));
                offset = end;
            }
            Err(FrameError::Io(error)) => return Err(OpenError::io(path)(error)),
            Err(FrameError::Damaged { offset: at, reason }) => {
                if good_frame_follows(file, number, offset, size).map_err(OpenError::io(path))? {
                    return Err(damaged(path, at, reason));
                }
                break;
            }
        }
    }
    Ok((index, offset))
}

/// Whether some whole group lies behind a bad frame, which a crash cannot leave.
fn good_frame_follows(file: &File, number: u64, bad: u64, size: u64) -> io::Result<bool> {
    if read_frame(file, INDEX, number, bad, size).is_ok() {
        // The index of a segment whose trailer was lost: all groups lie before it.
        return Ok(false);
    }
    Ok(next_good_group(file, number, bad, size)?.is_some())
}

/// Writes the index behind the groups, so that the next opening need not read them. Only saves time: a segment without
/// its seal is read through.
pub(super) fn seal(file: &File, path: &Path, index: &SegmentIndex, number: u64, end: u64) {
    if index.is_empty() {
        return;
    }
    let sealed = file.write_all_at(&encode_seal(index, number, end), end).and_then(|()| file.sync_all());
    if let Err(error) = sealed {
        tracing::warn!(file = %path.display(), %error, "a segment stays without its index");
        if let Err(error) = file.set_len(end) {
            tracing::warn!(file = %path.display(), %error, "half an index stays behind a segment");
        }
    }
}

fn damaged(path: &Path, offset: u64, reason: &'static str) -> OpenError {
    OpenError::Damaged { file: path.to_owned(), offset, reason }
}

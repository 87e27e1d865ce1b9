//! The columns of a group of series, compressed together.
//!
//! See `FORMAT.md`, "Frame". Bytes of the same meaning lie together (all lowest bytes of all residuals of one width,
//! and so on), and sections of different statistics become different pieces, each with entropy tables of its own.

use crate::coding::{Reader, compress, decompress, put_signed, put_varint};
use crate::column::{Residuals, Scale, Transform, integers};
use crate::error::{Result, TsdbError};

const ZSTD_LEVEL: i32 = 3;
/// A piece ends at the first end of a section after this many bytes.
const PIECE_BYTES_MIN: usize = 2048;
const WHAT: &str = "frame";

/// What a column holds at a timestamp of its timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A value.
    Present,
    /// Nothing.
    Absent,
    /// The staleness marker; kept out of the values, where it would pass for a float.
    Stale,
}

/// So many slots of one kind in a row.
pub(crate) type SlotRun = (usize, Slot);

const KIND_EMPTY: u8 = 0;
const KIND_CONSTANT: u8 = 1;
const KIND_INTEGERS: u8 = 2;
/// Set when the column does not fill its timeline: slot runs follow.
const FLAG_SLOTS: u8 = 0x80;

/// Collects columns.
#[derive(Debug, Default)]
pub(crate) struct FrameWriter {
    kinds: Vec<u8>,
    scales: Vec<u8>,
    numbers: Vec<u8>,
    constants: Vec<u64>,
    /// The residuals of all columns by the bytes they need.
    residuals: [Vec<u64>; 9],
    working: Residuals,
    integers: Vec<i64>,
}

impl FrameWriter {
    /// Adds a column: the values of its present slots, and the runs of slots unless all are present.
    pub(crate) fn push(&mut self, values: &[f64], slots: &[SlotRun]) {
        let flag = if slots.is_empty() { 0 } else { FLAG_SLOTS };
        if !slots.is_empty() {
            put_varint(&mut self.numbers, slots.len() as u64);
            for (len, slot) in slots {
                put_varint(&mut self.numbers, (*len as u64) << 2 | *slot as u64);
            }
        }
        let Some(first) = values.first() else {
            self.kinds.push(flag | KIND_EMPTY);
            return;
        };
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            self.kinds.push(flag | KIND_CONSTANT);
            self.constants.push(first.to_bits());
            return;
        }
        self.push_integers(values, flag);
    }

    fn push_integers(&mut self, values: &[f64], flag: u8) {
        let scale = Scale::find(values, &mut self.integers);
        let (transform, divisor) = self.working.of(&self.integers);
        let all_bits = self.working.residuals.iter().fold(0, |all, residual| all | residual);
        let width = 8 - all_bits.leading_zeros() as usize / 8;
        self.residuals[width].extend_from_slice(&self.working.residuals);
        let (scale_code, exponent) = scale.code();
        let (transform_code, first, step) = transform.code();
        self.kinds.push(flag | KIND_INTEGERS | scale_code << 2 | transform_code << 4);
        self.scales.push(exponent << 4 | u8::try_from(width).expect("a number has at most 8 bytes"));
        put_varint(&mut self.numbers, divisor);
        put_signed(&mut self.numbers, first);
        if let Some(step) = step {
            put_signed(&mut self.numbers, step);
        }
    }

    /// Appends the finished frame.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) {
        let mut raw = Vec::new();
        put_varint(&mut raw, self.numbers.len() as u64);
        for section in [&self.kinds, &self.scales, &self.numbers] {
            raw.extend_from_slice(section);
        }
        let mut cuts = vec![raw.len()];
        let mut section = |raw: &mut Vec<u8>, numbers: &[u64], plane: usize| {
            raw.extend(numbers.iter().map(|number| number.to_le_bytes()[plane]));
            if raw.len() - cuts.last().copied().unwrap_or(0) >= PIECE_BYTES_MIN {
                cuts.push(raw.len());
            }
        };
        for plane in (0..8).rev() {
            section(&mut raw, &self.constants, plane);
        }
        for (width, residuals) in self.residuals.iter_mut().enumerate() {
            for plane in (0..width).rev() {
                section(&mut raw, residuals, plane);
            }
        }
        cuts.push(raw.len());
        write_pieces(&raw, &cuts, out);
    }
}

fn write_pieces(raw: &[u8], cuts: &[usize], out: &mut Vec<u8>) {
    let mut head = Vec::new();
    let mut body = Vec::new();
    let mut start = 0;
    let mut count = 0u64;
    for &end in cuts {
        let piece = &raw[start..end];
        start = end;
        if piece.is_empty() {
            continue;
        }
        let before = body.len();
        compress(&mut body, piece, ZSTD_LEVEL);
        let stored = body.len() - before >= piece.len();
        if stored {
            body.truncate(before);
            body.extend_from_slice(piece);
        }
        count += 1;
        put_varint(&mut head, piece.len() as u64);
        put_varint(&mut head, ((body.len() - before) as u64) << 1 | u64::from(stored));
    }
    put_varint(out, count);
    out.extend_from_slice(&head);
    out.extend_from_slice(&body);
}

fn read_pieces(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(bytes, WHAT);
    let count = reader.count(2)?;
    let mut pieces = Vec::with_capacity(count);
    for _ in 0..count {
        pieces.push((reader.varint()?, reader.varint()?));
    }
    let len = |number: u64| usize::try_from(number).map_err(|_| TsdbError::malformed(WHAT, "a piece is too long"));
    let mut raw = Vec::new();
    for (raw_len, packed) in pieces {
        let body = reader.take(len(packed >> 1)?)?;
        if packed & 1 == 0 {
            decompress(&mut raw, body, len(raw_len)?, WHAT)?;
        } else {
            raw.extend_from_slice(body);
        }
    }
    reader.end()?;
    Ok(raw)
}

/// Where a column's parts lie in a frame.
#[derive(Clone, Copy, Debug)]
struct Place {
    slots: (usize, usize),
    present: usize,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Empty,
    Constant(usize),
    Integers { scale: Scale, transform: Transform, divisor: u64, width: usize, offset: usize },
}

/// A frame that was unpacked; columns are decoded one by one.
#[derive(Debug)]
pub struct Frame {
    raw: Vec<u8>,
    places: Vec<Place>,
    slots: Vec<SlotRun>,
    constants_at: usize,
    constants: usize,
    /// Where the planes of each width start, and how long one plane is.
    planes: [(usize, usize); 9],
}

/// Working memory for [`Frame::decode`].
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    residuals: Vec<u64>,
    integers: Vec<i64>,
}

impl Frame {
    /// Unpacks a frame; `timeline_lens` tells how many slots each of its columns has.
    pub(crate) fn open(bytes: &[u8], timeline_lens: impl ExactSizeIterator<Item = usize>) -> Result<Self> {
        let raw = read_pieces(bytes)?;
        let mut reader = Reader::new(&raw, WHAT);
        let numbers_len = reader.count(1)?;
        let kinds = reader.take(timeline_lens.len())?;
        let integer_columns = kinds.iter().filter(|kind| *kind & 3 == KIND_INTEGERS).count();
        let mut scales = reader.take(integer_columns)?.iter();
        let mut numbers = Reader::new(reader.take(numbers_len)?, WHAT);
        let constants_at = raw.len() - reader.rest().len();
        let mut frame = Self {
            places: Vec::with_capacity(kinds.len()),
            slots: Vec::new(),
            constants_at,
            constants: 0,
            planes: [(0, 0); 9],
            raw: Vec::new(),
        };
        for (kind, timeline_len) in kinds.iter().zip(timeline_lens) {
            frame.place(*kind, timeline_len, &mut scales, &mut numbers)?;
        }
        numbers.end()?;
        let mut at = constants_at + 8 * frame.constants;
        for (width, (start, len)) in frame.planes.iter_mut().enumerate() {
            *start = at;
            at = len.checked_mul(width).and_then(|bytes| at.checked_add(bytes)).unwrap_or(usize::MAX);
        }
        if at != raw.len() {
            return Err(TsdbError::malformed(WHAT, "its columns do not fill it"));
        }
        Ok(Self { raw, ..frame })
    }

    fn place(
        &mut self,
        kind: u8,
        timeline_len: usize,
        scales: &mut std::slice::Iter<'_, u8>,
        numbers: &mut Reader<'_>,
    ) -> Result<()> {
        let malformed = |reason| TsdbError::malformed(WHAT, reason);
        let slots_start = self.slots.len();
        let present = if kind & FLAG_SLOTS == 0 { timeline_len } else { self.read_slots(timeline_len, numbers)? };
        let slots = (slots_start, self.slots.len());
        let content = match kind & 3 {
            KIND_EMPTY => Content::Empty,
            KIND_CONSTANT => {
                self.constants += 1;
                Content::Constant(self.constants - 1)
            }
            KIND_INTEGERS => {
                let packed = scales.next().copied().ok_or(malformed("a column has no scale"))?;
                let scale = Scale::from_code(kind >> 2 & 3, packed >> 4).ok_or(malformed("unknown scale"))?;
                let width = usize::from(packed & 15);
                let code = kind >> 4 & 3;
                let divisor = numbers.varint()?;
                let first = numbers.signed()?;
                let step = if Transform::has_step(code) { numbers.signed()? } else { 0 };
                let transform = Transform::from_code(code, first, step);
                let count = present.checked_sub(transform.lead()).ok_or(malformed("a column has too few values"))?;
                let (_, len) = self.planes.get_mut(width).ok_or(malformed("a number of more than 8 bytes"))?;
                let offset = *len;
                *len = len.checked_add(count).ok_or(malformed("too many values"))?;
                Content::Integers { scale, transform, divisor, width, offset }
            }
            _ => return Err(malformed("unknown kind of column")),
        };
        if matches!(content, Content::Empty) != (present == 0) {
            return Err(malformed("a column without values claims to have some"));
        }
        self.places.push(Place { slots, present, content });
        Ok(())
    }

    /// Reads slot runs; gives back how many slots are present.
    fn read_slots(&mut self, timeline_len: usize, numbers: &mut Reader<'_>) -> Result<usize> {
        let malformed = || TsdbError::malformed(WHAT, "slots do not fill the timeline");
        let (mut total, mut present) = (0usize, 0);
        for _ in 0..numbers.count(1)? {
            let run = numbers.varint()?;
            let len = usize::try_from(run >> 2).map_err(|_| malformed())?;
            let slot = match run & 3 {
                0 => Slot::Present,
                1 => Slot::Absent,
                2 => Slot::Stale,
                _ => return Err(malformed()),
            };
            total = total.checked_add(len).filter(|total| *total <= timeline_len).ok_or_else(malformed)?;
            present += if slot == Slot::Present { len } else { 0 };
            self.slots.push((len, slot));
        }
        if total == timeline_len { Ok(present) } else { Err(malformed()) }
    }

    /// About how much memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.raw.capacity() + size_of_val(&self.places[..]) + size_of_val(&self.slots[..]) + size_of::<Self>()
    }

    /// Appends the values of a column's present slots, and gives its runs of slots: none when all are present.
    pub(crate) fn decode(&self, column: usize, scratch: &mut Scratch, values: &mut Vec<f64>) -> &[SlotRun] {
        let place = self.places[column];
        match place.content {
            Content::Empty => {}
            Content::Constant(index) => {
                let constant = f64::from_bits(self.number(self.constants_at, self.constants, 8, index));
                values.resize(values.len() + place.present, constant);
            }
            Content::Integers { scale, transform, divisor, width, offset } => {
                let (start, len) = self.planes[width];
                let count = place.present - transform.lead();
                scratch.residuals.clear();
                self.gather(start + offset, len, width, count, &mut scratch.residuals);
                scratch.integers.clear();
                integers(transform, divisor, &scratch.residuals, &mut scratch.integers);
                scale.values(&scratch.integers, values);
            }
        }
        &self.slots[place.slots.0..place.slots.1]
    }

    /// One number of a matrix of planes, the highest byte first.
    fn number(&self, start: usize, plane_len: usize, width: usize, index: usize) -> u64 {
        (0..width).fold(0, |number, plane| number << 8 | u64::from(self.raw[start + plane * plane_len + index]))
    }

    fn gather(&self, start: usize, plane_len: usize, width: usize, count: usize, out: &mut Vec<u64>) {
        out.resize(count, 0);
        for plane in 0..width {
            let at = start + plane * plane_len;
            for (number, byte) in out.iter_mut().zip(&self.raw[at..at + count]) {
                *number = *number << 8 | u64::from(*byte);
            }
        }
    }
}

//! Prometheus's XOR chunks: times by the difference of their differences, values by the bits that differ.
//!
//! ```text
//! u16 (big endian)  samples
//! varint (zigzag)   time of the first, in milliseconds
//! 64 bits           value of the first
//! uvarint           time of the second after the first
//! value             of the second
//! then for each     difference of differences, value; all of it packed bit by bit, highest bit first
//! ```
//! A difference of differences is `0`, or `10`, `110`, `1110` and 14, 17 or 20 bits, or `1111` and 64 bits. A value is `0`
//! when it is the one before; else `10` and the bits of the XOR that lie where they lay last time, or `11`, 5 bits of
//! leading zeros, 6 bits of length and so many bits.
//!
//! Source: `tsdb/docs/format/chunks.md` of Prometheus, after Gorilla (Pelkonen et al., VLDB 2015).

use model::Sample;

/// Encodes samples in the order of their times; at most 65,535 of them.
pub(super) fn encode(samples: &[Sample]) -> Vec<u8> {
    let count = u16::try_from(samples.len()).expect("chunks are cut after fewer samples");
    let mut writer = Writer::default();
    writer.bytes.extend_from_slice(&count.to_be_bytes());
    let (mut time, mut delta, mut value) = (0_i64, 0_i64, 0_u64);
    for (index, sample) in samples.iter().enumerate() {
        let (next_time, next_value) = (sample.timestamp.as_millis(), sample.value.to_bits());
        match index {
            0 => {
                writer.varint(zigzag(next_time));
                writer.bits(next_value, 64);
            }
            1 => {
                delta = next_time.wrapping_sub(time);
                writer.varint(delta.cast_unsigned());
                writer.value(value, next_value);
            }
            _ => {
                let next_delta = next_time.wrapping_sub(time);
                writer.time(next_delta.wrapping_sub(delta));
                delta = next_delta;
                writer.value(value, next_value);
            }
        }
        (time, value) = (next_time, next_value);
    }
    writer.bytes
}

const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// Packs bits, highest first.
#[derive(Debug, Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are free.
    free: u32,
    /// Leading and trailing zeros of the last XOR whose bits were written whole.
    window: Option<(u32, u32)>,
}

impl Writer {
    /// The lowest `count` bits of a number.
    fn bits(&mut self, number: u64, count: u32) {
        for place in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if number >> place & 1 == 1 {
                *self.bytes.last_mut().expect("one was just pushed") |= 1 << self.free;
            }
        }
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bits(number & 0x7f | 0x80, 8);
            number >>= 7;
        }
        self.bits(number, 8);
    }

    /// How much the distance of two times differs from the one before.
    fn time(&mut self, difference: i64) {
        let fits = |bits: u32| -((1_i64 << (bits - 1)) - 1) <= difference && difference <= 1 << (bits - 1);
        let number = difference.cast_unsigned();
        if difference == 0 {
            self.bits(0, 1);
        } else if fits(14) {
            self.bits(0b10, 2);
            self.bits(number, 14);
        } else if fits(17) {
            self.bits(0b110, 3);
            self.bits(number, 17);
        } else if fits(20) {
            self.bits(0b1110, 4);
            self.bits(number, 20);
        } else {
            self.bits(0b1111, 4);
            self.bits(number, 64);
        }
    }

    fn value(&mut self, before: u64, value: u64) {
        let difference = before ^ value;
        if difference == 0 {
            self.bits(0, 1);
            return;
        }
        self.bits(1, 1);
        // Five bits hold the number of leading zeros.
        let (leading, trailing) = (difference.leading_zeros().min(31), difference.trailing_zeros());
        if let Some((last_leading, last_trailing)) = self.window
            && leading >= last_leading
            && trailing >= last_trailing
        {
            self.bits(0, 1);
            self.bits(difference >> last_trailing, 64 - last_leading - last_trailing);
            return;
        }
        self.window = Some((leading, trailing));
        let length = 64 - leading - trailing;
        self.bits(1, 1);
        self.bits(u64::from(leading), 5);
        // 64 does not fit six bits, and stands there as 0.
        self.bits(u64::from(length), 6);
        self.bits(difference >> trailing, length);
    }
}

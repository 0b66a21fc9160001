//! Records of one batch on their way to another partition, as Kafka's record format v2 has them.
//!
//! A tail is a record without what depends on its place in a batch: key, value, and headers, those that say where it came in
//! behind its own. `pipeline.ingest.packed` holds the same in Python.

const FROM: &[u8] = b"modpulse.forwarded.from";
const TIMESTAMP: &[u8] = b"modpulse.forwarded.timestamp";
const KEY: &[u8] = b"modpulse.forwarded.key";

/// One value per record; positions are in the buffer, a size of -1 is a null.
pub struct Rows<'a> {
    /// Starts of values.
    pub values: &'a [i64],
    /// Sizes of values.
    pub value_sizes: &'a [i64],
    /// Starts of keys.
    pub keys: &'a [i64],
    /// Sizes of keys.
    pub key_sizes: &'a [i64],
    /// Where the number of its headers stands, and the headers behind it; -1 where it has none.
    pub headers: &'a [i64],
    /// Offsets.
    pub offsets: &'a [i64],
    /// Timestamps, ms.
    pub stamps: &'a [i64],
}

/// Write the tails one after the other, as far as they fit; answers how many bytes all of them have.
///
/// `home` is the key they get, `place` the topic and partition they came from, with the slash before the offset. None: a
/// position lies outside the buffer.
pub fn pack(
    bytes: &[u8],
    rows: &Rows,
    home: &[u8],
    place: &[u8],
    sizes: &mut [i64],
    tails: &mut [u8],
) -> Option<usize> {
    let mut at = 0;
    let mut tail = Vec::with_capacity(1024);
    for (row, size) in sizes.iter_mut().enumerate() {
        tail.clear();
        let value = part(bytes, rows.values[row], rows.value_sizes[row])?;
        let key = part(bytes, rows.keys[row], rows.key_sizes[row])?;
        let (own, raw) = own_headers(bytes, rows.headers[row])?;
        let keyed = key != Some(home);
        put(&mut tail, Some(home));
        put(&mut tail, Some(value.unwrap_or(b"")));
        varint(&mut tail, own + 2 + i64::from(keyed));
        tail.extend_from_slice(raw);
        put(&mut tail, Some(FROM));
        let offset = rows.offsets[row].to_string();
        varint(&mut tail, (place.len() + offset.len()) as i64);
        tail.extend_from_slice(place);
        tail.extend_from_slice(offset.as_bytes());
        put(&mut tail, Some(TIMESTAMP));
        put(&mut tail, Some(rows.stamps[row].to_string().as_bytes()));
        if keyed {
            put(&mut tail, Some(KEY));
            put(&mut tail, key);
        }
        *size = tail.len() as i64;
        if let Some(room) = tails.get_mut(at..at + tail.len()) {
            room.copy_from_slice(&tail);
        }
        at += tail.len();
    }
    Some(at)
}

/// Write tails as records of a batch, whose offsets count up from `first` and whose timestamps are all that of the batch.
///
/// Answers how many bytes were written. None: the sizes are not those of the tails, or there is not room enough.
pub fn frame(tails: &[u8], sizes: &[i64], first: i64, records: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0_usize, 0_usize);
    let mut head = Vec::with_capacity(32);
    let mut delta = Vec::with_capacity(16);
    for (offset, size) in (first..).zip(sizes) {
        let size = usize::try_from(*size).ok()?;
        let tail = tails.get(from..from.checked_add(size)?)?;
        from += size;
        head.clear();
        delta.clear();
        varint(&mut delta, offset);
        varint(&mut head, (2 + delta.len() + size) as i64);
        head.extend_from_slice(&[0, 0]); // no attributes, no difference in time
        head.extend_from_slice(&delta);
        let end = to + head.len();
        records.get_mut(to..end)?.copy_from_slice(&head);
        records.get_mut(end..end + size)?.copy_from_slice(tail);
        to = end + size;
    }
    (from == tails.len()).then_some(to)
}

/// A nullable field; None where it lies outside the buffer.
fn part(bytes: &[u8], start: i64, size: i64) -> Option<Option<&[u8]>> {
    if size < 0 {
        return Some(None);
    }
    let (start, size) = (usize::try_from(start).ok()?, usize::try_from(size).ok()?);
    bytes.get(start..start.checked_add(size)?).map(Some)
}

/// How many headers, and their bytes.
fn own_headers(bytes: &[u8], place: i64) -> Option<(i64, &[u8])> {
    if place < 0 {
        return Some((0, b""));
    }
    let mut at = usize::try_from(place).ok()?;
    let count = read_varint(bytes, &mut at)?;
    let begin = at;
    for _ in 0..count {
        for _ in 0..2 {
            let size = read_varint(bytes, &mut at)?.max(0);
            at = at.checked_add(usize::try_from(size).ok()?)?;
        }
    }
    bytes.get(begin..at).map(|raw| (count, raw))
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn put(tail: &mut Vec<u8>, field: Option<&[u8]>) {
    varint(tail, field.map_or(-1, |field| field.len() as i64));
    tail.extend_from_slice(field.unwrap_or(b""));
}

fn varint(tail: &mut Vec<u8>, number: i64) {
    let mut value = ((number << 1) ^ (number >> 63)) as u64;
    while value > 0x7f {
        tail.push(value as u8 | 0x80);
        value >>= 7;
    }
    tail.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::{frame, pack, Rows};

    fn rows<'a>(value: &'a [i64; 2], key: &'a [i64; 2], headers: &'a [i64], stamps: &'a [i64]) -> Rows<'a> {
        Rows {
            values: &value[..1],
            value_sizes: &value[1..],
            keys: &key[..1],
            key_sizes: &key[1..],
            headers,
            offsets: &[7],
            stamps,
        }
    }

    #[test]
    fn a_record_keeps_its_headers_and_says_where_it_came_in() {
        let bytes = b"kv\x02\x02h\x02x";
        let (mut sizes, mut tails) = ([0], [0; 200]);
        let packed = pack(bytes, &rows(&[1, 1], &[0, 1], &[2], &[-5]), b"o", b"t/1/", &mut sizes, &mut tails);
        let expected = b"\x02o\x02v\x08\x02h\x02x\x2emodpulse.forwarded.from\x0at/1/7\
            \x38modpulse.forwarded.timestamp\x04-5\x2cmodpulse.forwarded.key\x02k";
        assert_eq!(packed, Some(expected.len()));
        assert_eq!(&tails[..expected.len()], expected);
        assert_eq!(sizes, [expected.len() as i64]);
    }

    #[test]
    fn what_does_not_fit_is_measured_all_the_same() {
        let (mut sizes, mut tails) = ([0], [0; 3]);
        let packed = pack(b"kv", &rows(&[1, 1], &[0, 1], &[-1], &[1]), b"k", b"", &mut sizes, &mut tails);
        assert_eq!(packed, Some(sizes[0] as usize));
        assert_eq!(tails, [0; 3]);
    }

    #[test]
    fn positions_outside_the_buffer_are_refused() {
        for (value, key, headers) in [([1, 2], [0, 1], -1), ([0, 1], [-1, 1], -1), ([0, 1], [0, 1], 2)] {
            let (mut sizes, mut tails) = ([0], [0; 200]);
            assert_eq!(pack(b"kv", &rows(&value, &key, &[headers], &[1]), b"k", b"", &mut sizes, &mut tails), None);
        }
    }

    #[test]
    fn tails_become_records_with_offsets_that_count_up() {
        let mut records = [9; 20];
        assert_eq!(frame(b"abc", &[1, 2], 0, &mut records), Some(11));
        assert_eq!(&records[..11], b"\x08\0\0\0a\x0a\0\0\x02bc");
        assert_eq!(frame(b"a", &[1], 64, &mut records), Some(6));
        assert_eq!(&records[..6], b"\x0a\0\0\x80\x01a");
        assert_eq!(frame(b"abc", &[1, 1], 0, &mut records), None);
        assert_eq!(frame(b"abc", &[1, 3], 0, &mut records), None);
        assert_eq!(frame(b"abc", &[1, 2], 0, &mut records[..9]), None);
    }
}

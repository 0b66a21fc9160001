//! Where the records of a batch lie (https://kafka.apache.org/documentation/#recordbatch): positions only, nothing is copied.

/// Integers per record: offset delta, timestamp delta, key, key size, value, value size, headers, size of the record.
pub const FIELDS: usize = 8;

/// What a header adds to the size of a record, besides its name and its value.
pub const HEADER_BYTES: i64 = 8;

/// Why a batch is not what its header says.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Fault {
    /// It ends inside a record, or a number is too long.
    Cut = 1,
    /// A record's size is not the size of its parts.
    Size = 2,
    /// Bytes are left behind the last record.
    Rest = 3,
    /// More headers than asked for.
    Headers = 4,
    /// An offset is not above the one before.
    Order = 5,
}

/// Rows of `FIELDS` columns, column by column.
pub struct RecordRows<'a> {
    cells: &'a mut [i64],
    count: usize,
}

impl<'a> RecordRows<'a> {
    /// Over an array of `FIELDS` x `count` integers.
    pub fn new(cells: &'a mut [i64], count: usize) -> Self {
        Self { cells, count }
    }

    fn put(&mut self, row: usize, fields: [i64; FIELDS]) {
        for (column, field) in fields.into_iter().enumerate() {
            self.cells[column * self.count + row] = field;
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn varint(&mut self) -> Result<i64, Fault> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Fault::Cut)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err(Fault::Cut);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Fault::Cut)
    }

    /// Start and size of a nullable field; a null has size -1.
    fn field(&mut self) -> Result<(i64, i64), Fault> {
        let size = self.varint()?;
        let start = self.at;
        if size > 0 {
            self.at = start.checked_add(size as usize).filter(|end| *end <= self.bytes.len()).ok_or(Fault::Cut)?;
        }
        Ok((start as i64, size.max(-1)))
    }
}

/// Find `count` records that fill `bytes` exactly, with rising offsets from 0 on and at most `headers_left` headers in all.
///
/// Positions are given plus `base`.
pub fn find(bytes: &[u8], base: i64, count: usize, headers_left: u64, rows: &mut RecordRows) -> Result<(), Fault> {
    let mut reader = Reader { bytes, at: 0 };
    let mut headers_left = headers_left;
    let mut last_offset = -1;
    for row in 0..count {
        let size = reader.varint()?;
        let begin = reader.at;
        let end = usize::try_from(size).ok().and_then(|size| begin.checked_add(size)).ok_or(Fault::Size)?;
        if end > bytes.len() {
            return Err(Fault::Cut);
        }
        reader.at += 1; // attributes, none of which is in use
        let timestamp = reader.varint()?;
        let offset = reader.varint()?;
        if offset <= last_offset {
            return Err(Fault::Order);
        }
        last_offset = offset;
        let (key, key_size) = reader.field()?;
        let (value, value_size) = reader.field()?;
        let headers = reader.at as i64;
        let mut size = key_size.max(0) + value_size.max(0);
        let header_count = u64::try_from(reader.varint()?).map_err(|_| Fault::Size)?;
        headers_left = headers_left.checked_sub(header_count).ok_or(Fault::Headers)?;
        for _ in 0..header_count {
            let (_, name_size) = reader.field()?;
            if name_size < 0 {
                return Err(Fault::Size);
            }
            size += HEADER_BYTES + name_size + reader.field()?.1.max(0);
        }
        if reader.at != end {
            return Err(Fault::Size);
        }
        rows.put(row, [offset, timestamp, base + key, key_size, base + value, value_size, base + headers, size]);
    }
    if reader.at == bytes.len() {
        Ok(())
    } else {
        Err(Fault::Rest)
    }
}

#[cfg(test)]
mod tests {
    use super::{find, Fault, RecordRows, FIELDS};

    fn rows_of(bytes: &[u8], count: usize) -> Result<Vec<i64>, Fault> {
        let mut cells = vec![0; FIELDS * count];
        find(bytes, 100, count, 2, &mut RecordRows::new(&mut cells, count)).map(|()| cells)
    }

    // size 9, attributes, timestamp +1, offset +0, key of 1, value of 2, no headers
    const ONE: [u8; 10] = [18, 0, 2, 0, 2, b'k', 4, b'v', b'w', 0];

    #[test]
    fn a_record_is_found() {
        assert_eq!(rows_of(&ONE, 1), Ok(vec![0, 1, 105, 1, 107, 2, 109, 3]));
    }

    #[test]
    fn offsets_that_do_not_rise_from_0_on_are_a_fault() {
        let at = |offset: u8| [18, 0, 2, offset, 2, b'k', 4, b'v', b'w', 0];
        assert!(rows_of(&[at(0), at(2)].concat(), 2).is_ok());
        assert_eq!(rows_of(&[at(2), at(2)].concat(), 2), Err(Fault::Order));
        assert_eq!(rows_of(&[at(4), at(2)].concat(), 2), Err(Fault::Order));
        assert_eq!(rows_of(&at(1), 1), Err(Fault::Order));
    }

    #[test]
    fn the_size_of_a_record_counts_key_value_and_headers() {
        // no key, value of 1, two headers: a name of 2 with a value of 1, and an empty name with a null
        let record = [28, 0, 0, 0, 1, 2, b'v', 4, 4, b'h', b'i', 2, b'x', 0, 1];
        assert_eq!(rows_of(&record, 1), Ok(vec![0, 0, 105, -1, 106, 1, 107, 1 + 8 + 3 + 8]));
    }

    #[test]
    fn more_headers_than_asked_for_are_a_fault() {
        let record = [26, 0, 0, 0, 1, 1, 6, 0, 1, 0, 1, 0, 1, 0];
        assert_eq!(rows_of(&record, 1), Err(Fault::Headers));
        // a number of headers that lies is one too, before anything is looked for
        assert_eq!(rows_of(&[18, 0, 0, 0, 1, 1, 254, 255, 255, 15], 1), Err(Fault::Headers));
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_a_fault() {
        for end in 0..ONE.len() {
            assert!(rows_of(&ONE[..end], 1).is_err());
        }
        assert_eq!(rows_of(&[&ONE[..], &[0]].concat(), 1), Err(Fault::Rest));
        assert_eq!(rows_of(&ONE, 2), Err(Fault::Cut));
    }

    #[test]
    fn sizes_that_lie_are_faults() {
        for (at, bad) in [(0, 16), (0, 20), (0, 1), (4, 40), (6, 127), (6, 6)] {
            let mut bytes = ONE;
            bytes[at] = bad;
            assert!(rows_of(&bytes, 1).is_err(), "byte {at} = {bad}");
        }
    }
}

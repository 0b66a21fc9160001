//! One JSON object of the input to a row of columns, if it is a plain event.
//!
//! Plain: an object with the fields of ModuleLogEvent in their usual notation, strings without escapes, all limits kept, no
//! field of a wrong type. Fields nobody knows are passed over, as the Python decoder does.

use crate::json::Reader;
use crate::time::epoch_ms;
use crate::xxh3;

/// The row holds an event.
pub const PLAIN: u8 = 1;
/// Its request succeeded.
pub const SUCCESS: u8 = 2;
/// It has a (non-empty) event id.
pub const HAS_ID: u8 = 4;
/// The record's key is not the event's module id.
pub const KEY_DIFFERS: u8 = 8;

const MAX_MODULE_ID_CHARS: usize = 200;
const CONFLUENT_MAGIC: u8 = 0;
const CONFLUENT_FRAME_BYTES: usize = 5;
const ABSENT: u32 = u32::MAX;
/// Of an event's members, so many from the first on are looked for where they stood in the event before.
const MAX_NAMES: usize = 16;

/// What the configuration allows.
#[repr(C)]
pub struct Limits {
    /// Longest value of a record.
    pub record_bytes: i64,
    /// Most labels.
    pub labels: i64,
    /// Longest label name.
    pub label_key_chars: i64,
    /// Longest label value.
    pub label_value_chars: i64,
}

/// Where the records' values and keys lie; a size of -1 is a null.
pub struct Spans<'a> {
    /// Starts of values.
    pub values: &'a [i64],
    /// Sizes of values.
    pub value_sizes: &'a [i64],
    /// Starts of keys.
    pub keys: &'a [i64],
    /// Sizes of keys.
    pub key_sizes: &'a [i64],
}

/// The answer, one row per record; only the rows flagged `PLAIN` mean anything.
pub struct Columns<'a> {
    /// `PLAIN` and so on.
    pub flags: &'a mut [u8],
    /// Which of `modules`.
    pub tokens: &'a mut [i64],
    /// Event time, epoch ms.
    pub times: &'a mut [i64],
    /// Finite, >= 0.
    pub response_ms: &'a mut [f64],
    /// Memory of all rows, then goroutines, then connections; -1 where not sent.
    pub gauges: &'a mut [i64],
    /// Percent; NaN where not sent.
    pub cpu: &'a mut [f64],
    /// XXH3 of the event id.
    pub ids: &'a mut [u64],
    /// Start of each different module id, then size of each, in the order they come.
    pub modules: &'a mut [i64],
}

#[derive(Clone, Copy)]
enum Field {
    ModuleId,
    Timestamp,
    Success,
    ResponseTime,
    EventId,
    Gauge(usize),
    Cpu,
    Labels,
    Unknown,
}

impl Field {
    fn of(name: &[u8]) -> Self {
        match name {
            b"module_id" => Self::ModuleId,
            b"timestamp" => Self::Timestamp,
            b"success" => Self::Success,
            b"response_time_ms" => Self::ResponseTime,
            b"event_id" => Self::EventId,
            b"memory_bytes" => Self::Gauge(0),
            b"goroutines" => Self::Gauge(1),
            b"db_connections" => Self::Gauge(2),
            b"cpu_percent" => Self::Cpu,
            b"labels" => Self::Labels,
            _ => Self::Unknown,
        }
    }
}

/// The names of the members of the event before, as they stood there, quotes and colon with them. Events of one producer look
/// alike, so a name is mostly found by comparing it with the one at the same place.
struct Names<'a> {
    names: [(&'a [u8], Field); MAX_NAMES],
}

impl<'a> Names<'a> {
    fn new() -> Self {
        Self { names: [(b"", Field::Unknown); MAX_NAMES] }
    }

    /// Read a name, its colon and the space around them.
    #[inline]
    fn read(&mut self, reader: &mut Reader<'a>, place: usize) -> Option<Field> {
        if let Some((name, field)) = self.names.get(place) {
            if !name.is_empty() && reader.take_all(name) {
                reader.space();
                return Some(*field);
            }
        }
        let begin = reader.at;
        let field = Field::of(reader.string()?.0);
        reader.expect(b':')?;
        if let Some(known) = self.names.get_mut(place) {
            *known = (reader.since(begin), field);
        }
        reader.space();
        Some(field)
    }
}

struct Event<'a> {
    module_id: &'a [u8],
    time_ms: i64,
    success: bool,
    response_ms: f64,
    id: &'a [u8],
    gauges: [i64; 3],
    cpu: f64,
}

/// Module ids seen so far, by hash.
struct Modules {
    slots: Vec<u32>,
    count: usize,
}

impl Modules {
    fn new(records: usize) -> Self {
        Self { slots: vec![ABSENT; (records * 2).next_power_of_two()], count: 0 }
    }

    fn token(&mut self, bytes: &[u8], start: usize, size: usize, modules: &mut [i64]) -> usize {
        let name = &bytes[start..start + size];
        let (starts, sizes) = modules.split_at_mut(modules.len() / 2);
        let mask = self.slots.len() - 1;
        // Long names share what is hashed of them; they are compared whole.
        let mut slot = xxh3::hash(&name[..size.min(xxh3::MAX_BYTES)]) as usize & mask;
        loop {
            let token = self.slots[slot];
            if token == ABSENT {
                self.slots[slot] = self.count as u32;
                starts[self.count] = start as i64;
                sizes[self.count] = size as i64;
                self.count += 1;
                return self.count - 1;
            }
            let known = starts[token as usize] as usize;
            if sizes[token as usize] as usize == size && &bytes[known..known + size] == name {
                return token as usize;
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// Read every record; answers how many different module ids the plain ones have.
pub fn read(bytes: &[u8], spans: &Spans, limits: &Limits, columns: &mut Columns) -> usize {
    let count = columns.flags.len();
    let mut modules = Modules::new(count);
    let mut names = Names::new();
    for row in 0..count {
        columns.flags[row] = 0;
        let Some(value) = part(bytes, spans.values[row], spans.value_sizes[row]) else { continue };
        if value.len() as i64 > limits.record_bytes {
            continue;
        }
        let framed = value.first() == Some(&CONFLUENT_MAGIC) && value.len() > CONFLUENT_FRAME_BYTES;
        let text = if framed { &value[CONFLUENT_FRAME_BYTES..] } else { value };
        let Some(event) = parse(text, limits, &mut names) else { continue };
        let mut flags = PLAIN;
        flags |= if event.success { SUCCESS } else { 0 };
        flags |= if event.id.is_empty() { 0 } else { HAS_ID };
        if part(bytes, spans.keys[row], spans.key_sizes[row]) != Some(event.module_id) {
            flags |= KEY_DIFFERS;
        }
        columns.flags[row] = flags;
        columns.times[row] = event.time_ms;
        columns.response_ms[row] = event.response_ms;
        for (gauge, value) in event.gauges.into_iter().enumerate() {
            columns.gauges[gauge * count + row] = value;
        }
        columns.cpu[row] = event.cpu;
        columns.ids[row] = xxh3::hash(event.id);
        let start = event.module_id.as_ptr() as usize - bytes.as_ptr() as usize;
        columns.tokens[row] = modules.token(bytes, start, event.module_id.len(), columns.modules) as i64;
    }
    modules.count
}

fn part(bytes: &[u8], start: i64, size: i64) -> Option<&[u8]> {
    let (start, size) = (usize::try_from(start).ok()?, usize::try_from(size).ok()?);
    bytes.get(start..start.checked_add(size)?)
}

fn parse<'a>(text: &'a [u8], limits: &Limits, names: &mut Names<'a>) -> Option<Event<'a>> {
    let mut reader = Reader::new(text);
    let mut event =
        Event { module_id: b"", time_ms: 0, success: false, response_ms: 0.0, id: b"", gauges: [-1; 3], cpu: f64::NAN };
    let (mut timed, mut judged, mut measured) = (false, false, false);
    reader.expect(b'{')?;
    for place in 0.. {
        reader.space();
        match names.read(&mut reader, place)? {
            Field::ModuleId => {
                let (id, chars) = reader.string()?;
                (1..=MAX_MODULE_ID_CHARS).contains(&chars).then_some(())?;
                event.module_id = id;
            }
            Field::Timestamp => {
                event.time_ms =
                    if reader.peek() == Some(b'"') { epoch_ms(reader.string()?.0)? } else { reader.integer()? };
                timed = true;
            }
            Field::Success => {
                event.success = reader.boolean()?;
                judged = true;
            }
            Field::ResponseTime => {
                event.response_ms = reader.float()?;
                measured = true;
            }
            Field::EventId => event.id = if reader.null()? { b"" } else { short(reader.string()?.0)? },
            Field::Gauge(gauge) => event.gauges[gauge] = if reader.null()? { -1 } else { reader.integer()? },
            Field::Cpu => event.cpu = if reader.null()? { f64::NAN } else { reader.float()? },
            Field::Labels => {
                if !reader.null()? {
                    labels(&mut reader, limits)?;
                }
            }
            Field::Unknown => reader.skip()?,
        }
        reader.space();
        if reader.take(b'}') {
            break;
        }
        reader.take(b',').then_some(())?;
    }
    reader.space();
    (reader.at_end() && !event.module_id.is_empty() && timed && judged && measured).then_some(event)
}

/// An event id short enough to be hashed here.
fn short(id: &[u8]) -> Option<&[u8]> {
    (id.len() <= xxh3::MAX_BYTES).then_some(id)
}

fn labels(reader: &mut Reader, limits: &Limits) -> Option<()> {
    reader.expect(b'{')?;
    reader.space();
    if reader.take(b'}') {
        return Some(());
    }
    let mut count = 0;
    loop {
        reader.space();
        let (_, key_chars) = reader.string()?;
        reader.expect(b':')?;
        reader.space();
        let (_, value_chars) = reader.string()?;
        count += 1;
        let kept = count <= limits.labels
            && key_chars as i64 <= limits.label_key_chars
            && value_chars as i64 <= limits.label_value_chars;
        kept.then_some(())?;
        reader.space();
        if reader.take(b'}') {
            return Some(());
        }
        reader.take(b',').then_some(())?;
    }
}

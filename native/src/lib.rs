//! Kafka record batches and plain JSON events to columns, as fast as memory allows and without the interpreter's lock.
//!
//! Nothing is decided here. A record that is anything but plain is marked so, and the Python path, which is complete by
//! itself and the definition of what is right, handles it. So this code may only ever be as strict as that one, or stricter.
//!
//! The boundary is C: arrays come from numpy, with their lengths; every function checks what it is given, catches panics and
//! answers a number, negative when it failed. `ABI` changes with any signature, so that a stale library is not used.

mod event;
mod forward;
mod ids;
mod json;
mod number;
mod records;
mod time;
mod xxh3;

use std::panic::{catch_unwind, AssertUnwindSafe};

pub use event::{Columns, Limits, HAS_ID, KEY_DIFFERS, PLAIN, SUCCESS};
pub use records::RecordRows;

/// Changes with any signature or meaning below; the Python side refuses another one.
pub const ABI: u32 = 5;

/// A panic was caught.
pub const PANICKED: i64 = -100;

/// Which signatures this library has.
#[no_mangle]
pub extern "C" fn modpulse_abi() -> u32 {
    ABI
}

unsafe fn view<'a, T>(pointer: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        &[]
    } else {
        // SAFETY: the caller of the exported functions promises `len` values that live through the call.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }
}

unsafe fn view_mut<'a, T>(pointer: *mut T, len: usize) -> &'a mut [T] {
    if len == 0 {
        &mut []
    } else {
        // SAFETY: as `view`, and nobody else looks at them meanwhile.
        unsafe { std::slice::from_raw_parts_mut(pointer, len) }
    }
}

/// Find the records of one uncompressed record batch (format v2, without its header).
///
/// Answers how many records were found, or a negative `records::Fault`.
///
/// # Safety
/// `bytes` holds `size` bytes; `rows` has room for `RECORD_FIELDS` x `count` integers.
#[no_mangle]
pub unsafe extern "C" fn modpulse_records(
    bytes: *const u8,
    size: usize,
    base: i64,
    count: usize,
    most_headers: u64,
    rows: *mut i64,
) -> i64 {
    // SAFETY: promised by the caller.
    let (bytes, rows) = unsafe { (view(bytes, size), view_mut(rows, count * records::FIELDS)) };
    let mut rows = RecordRows::new(rows, count);
    let found = catch_unwind(AssertUnwindSafe(|| records::find(bytes, base, count, most_headers, &mut rows)));
    match found {
        Ok(Ok(())) => count as i64,
        Ok(Err(fault)) => -(fault as i64),
        Err(_) => PANICKED,
    }
}

/// Read plain events into columns; answers the number of different module ids among them, or `PANICKED`.
///
/// # Safety
/// `bytes` holds `size` bytes; each of the four span arrays and each column has `count` values (`gauges` three times that,
/// `modules` twice: start and length of the first mention of each id).
#[no_mangle]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn modpulse_events(
    bytes: *const u8,
    size: usize,
    count: usize,
    values: *const i64,
    value_sizes: *const i64,
    keys: *const i64,
    key_sizes: *const i64,
    limits: *const Limits,
    flags: *mut u8,
    tokens: *mut i64,
    times: *mut i64,
    response_ms: *mut f64,
    gauges: *mut i64,
    cpu: *mut f64,
    ids: *mut u64,
    modules: *mut i64,
) -> i64 {
    // SAFETY: promised by the caller.
    let (bytes, spans, limits, mut columns) = unsafe {
        (
            view(bytes, size),
            event::Spans {
                values: view(values, count),
                value_sizes: view(value_sizes, count),
                keys: view(keys, count),
                key_sizes: view(key_sizes, count),
            },
            &*limits,
            Columns {
                flags: view_mut(flags, count),
                tokens: view_mut(tokens, count),
                times: view_mut(times, count),
                response_ms: view_mut(response_ms, count),
                gauges: view_mut(gauges, count * 3),
                cpu: view_mut(cpu, count),
                ids: view_mut(ids, count),
                modules: view_mut(modules, count * 2),
            },
        )
    };
    catch_unwind(AssertUnwindSafe(|| event::read(bytes, &spans, limits, &mut columns) as i64)).unwrap_or(PANICKED)
}

/// A table of ids.
///
/// # Safety
/// Both arrays have `slots` values, live through the call, and nobody else looks at them meanwhile.
unsafe fn table<'a>(ids: *mut u64, codes: *mut u32, slots: usize) -> ids::Table<'a> {
    // SAFETY: promised by the caller.
    unsafe { ids::Table { ids: view_mut(ids, slots), codes: view_mut(codes, slots) } }
}

/// Find ids in a table; answers 0, or `PANICKED`.
///
/// # Safety
/// The table has `slots` values in both arrays, `slots` being a power of two; `panes` has `pane_count` values, `ids` and
/// `found` have `count`.
#[no_mangle]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn modpulse_ids_look_up(
    table_ids: *mut u64,
    table_codes: *mut u32,
    slots: usize,
    panes: *const i64,
    pane_count: usize,
    ids: *const u64,
    count: usize,
    found: *mut i64,
) -> i64 {
    // SAFETY: promised by the caller.
    let (table, panes, ids, found) = unsafe {
        (table(table_ids, table_codes, slots), view(panes, pane_count), view(ids, count), view_mut(found, count))
    };
    catch_unwind(AssertUnwindSafe(|| table.look_up(panes, ids, found))).map_or(PANICKED, |()| 0)
}

/// Put ids into a table that has room for them; answers how many were new, or `PANICKED`.
///
/// # Safety
/// As `modpulse_ids_look_up`; `codes` has `count` values.
#[no_mangle]
pub unsafe extern "C" fn modpulse_ids_insert(
    table_ids: *mut u64,
    table_codes: *mut u32,
    slots: usize,
    ids: *const u64,
    codes: *const u32,
    count: usize,
) -> i64 {
    // SAFETY: promised by the caller.
    let (mut table, ids, codes) =
        unsafe { (table(table_ids, table_codes, slots), view(ids, count), view(codes, count)) };
    catch_unwind(AssertUnwindSafe(|| table.insert(ids, codes) as i64)).unwrap_or(PANICKED)
}

/// Put everything of a table into another one that has room for it; answers 0, or `PANICKED`.
///
/// # Safety
/// As `modpulse_ids_look_up`, for both tables; they are not the same.
#[no_mangle]
pub unsafe extern "C" fn modpulse_ids_move(
    old_ids: *mut u64,
    old_codes: *mut u32,
    old_slots: usize,
    new_ids: *mut u64,
    new_codes: *mut u32,
    new_slots: usize,
) -> i64 {
    // SAFETY: promised by the caller.
    let (old, mut new) = unsafe { (table(old_ids, old_codes, old_slots), table(new_ids, new_codes, new_slots)) };
    catch_unwind(AssertUnwindSafe(|| new.take_in(&old))).map_or(PANICKED, |()| 0)
}

/// Encode records for another partition; answers how many bytes they have, which is more than `room` where they did not fit,
/// -1 where a position lies outside the buffer, or `PANICKED`.
///
/// # Safety
/// `bytes` holds `size` bytes; `columns` are seven arrays of `count` values, one after the other (see `forward::Rows`); `home` and
/// `place` hold as many bytes as is said; `sizes` has `count` values, `tails` room for `room` bytes.
#[no_mangle]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn modpulse_pack(
    bytes: *const u8,
    size: usize,
    count: usize,
    columns: *const i64,
    home: *const u8,
    home_size: usize,
    place: *const u8,
    place_size: usize,
    sizes: *mut i64,
    tails: *mut u8,
    room: usize,
) -> i64 {
    // SAFETY: promised by the caller.
    let (bytes, columns, home, place, sizes, tails) = unsafe {
        (
            view(bytes, size),
            view(columns, count * 7),
            view(home, home_size),
            view(place, place_size),
            view_mut(sizes, count),
            view_mut(tails, room),
        )
    };
    let column = |number: usize| &columns[number * count..(number + 1) * count];
    let rows = forward::Rows {
        values: column(0),
        value_sizes: column(1),
        keys: column(2),
        key_sizes: column(3),
        headers: column(4),
        offsets: column(5),
        stamps: column(6),
    };
    catch_unwind(AssertUnwindSafe(|| forward::pack(bytes, &rows, home, place, sizes, tails)))
        .map_or(PANICKED, |packed| packed.map_or(-1, |size| size as i64))
}

/// Make records of a batch, from offset `first` on, of what `modpulse_pack` gave; answers how many bytes were written, -1 where the
/// sizes do not fit, or `PANICKED`.
///
/// # Safety
/// `tails` holds `size` bytes; `sizes` has `count` values, `records` room for `room` bytes.
#[no_mangle]
pub unsafe extern "C" fn modpulse_frame(
    tails: *const u8,
    size: usize,
    sizes: *const i64,
    count: usize,
    first: i64,
    records: *mut u8,
    room: usize,
) -> i64 {
    // SAFETY: promised by the caller.
    let (tails, sizes, records) = unsafe { (view(tails, size), view(sizes, count), view_mut(records, room)) };
    catch_unwind(AssertUnwindSafe(|| forward::frame(tails, sizes, first, records)))
        .map_or(PANICKED, |written| written.map_or(-1, |size| size as i64))
}

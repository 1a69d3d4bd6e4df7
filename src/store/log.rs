//! RocksDB's write-ahead log, read and written as bytes. RocksDB itself can only refuse a damaged
//! log, or go on without whatever comes after the damage; here the damaged record is found, and
//! all others stay. (The format: `db/log_format.h` and `db/write_batch.cc` of RocksDB.)

/// Records are cut at the bounds of blocks of this many bytes.
const BLOCK: usize = 32 * 1024;
/// Checksum (4), length (2, little-endian), kind (1).
const HEADER: usize = 7;
/// Sequence number (8) and count of changes (4), both little-endian.
const BATCH_HEADER: usize = 12;
/// A write that the machine died in leaves sectors of zeros behind.
const SECTOR: usize = 512;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// One whole record: one commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in the file.
    pub at: usize,
    /// The batch.
    pub body: Vec<u8>,
}

impl Record {
    /// The sequence number of its first change.
    pub fn sequence(&self) -> u64 {
        let bytes = self.body.first_chunk::<8>();
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// A part of the log that doesn't read, though it was written whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins in the file.
    pub at: usize,
    /// What of it may be the batch.
    pub body: Vec<u8>,
}

/// What stands in a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The whole records, in order.
    pub records: Vec<Record>,
    /// The damaged parts.
    pub gaps: Vec<Gap>,
    /// Where the torn end begins: a record that was never written whole, so nobody was told that
    /// it is stored.
    pub torn: Option<usize>,
}

/// One stretch of a record: its kind, where its bytes are, and where the next begins.
struct Stretch<'a> {
    kind: u8,
    bytes: &'a [u8],
    next: usize,
}

/// Reads a log.
pub fn read(file: &[u8]) -> Log {
    let mut log = Log::default();
    let mut begun: Option<Record> = None;
    let mut at = 0;
    loop {
        at = skip_padding(at);
        if at >= file.len() {
            log.torn = begun.map(|record| record.at);
            return log;
        }
        let Some(stretch) = stretch(file, at) else {
            let start = begun.take().map_or(at, |record| record.at);
            let Some(next) = next_record(file, at + 1) else {
                log.end(file, start, at);
                return log;
            };
            log.gap(file, start, next);
            at = next;
            continue;
        };
        match (stretch.kind, begun.take()) {
            (FULL | FIRST, Some(unfinished)) => log.gap(file, unfinished.at, at),
            (MIDDLE | LAST, None) => log.gap(file, at, stretch.next),
            (_, unfinished) => begun = unfinished,
        }
        let body = stretch.bytes;
        match (stretch.kind, begun.as_mut()) {
            (FULL, _) => log.records.push(Record {
                at,
                body: body.to_vec(),
            }),
            (FIRST, _) => {
                begun = Some(Record {
                    at,
                    body: body.to_vec(),
                });
            }
            (_, Some(record)) => record.body.extend_from_slice(body),
            (_, None) => {}
        }
        if stretch.kind == LAST {
            log.records.extend(begun.take());
        }
        at = stretch.next;
    }
}

impl Log {
    fn gap(&mut self, file: &[u8], from: usize, to: usize) {
        let body = body(file, from, to);
        self.gaps.push(Gap { at: from, body });
    }

    /// The file ends in something unreadable that begins at `start`; `at` is the first stretch of
    /// it that doesn't read.
    fn end(&mut self, file: &[u8], start: usize, at: usize) {
        let body = body(file, start, file.len());
        let (changes, complete) = changes(&body);
        let said = file
            .get(at + 4..at + 6)
            .and_then(|said| said.try_into().ok());
        let said = said.map_or(usize::MAX, |said| usize::from(u16::from_le_bytes(said)));
        let cut_short = at.saturating_add(HEADER).saturating_add(said) > file.len();
        // Lengths that lead through all changes up to the last byte: then it was written whole, and
        // damaged afterwards.
        let whole = complete && !changes.is_empty();
        if !has_hole(file, at) && (whole || !cut_short) {
            self.gaps.push(Gap { at: start, body });
        } else {
            self.torn = Some(start);
        }
    }
}

/// Whether a sector from here on is empty, or all is.
fn has_hole(file: &[u8], from: usize) -> bool {
    let zeros = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    let rest = file.get(from..).unwrap_or_default();
    let sectors = file
        .get(from.next_multiple_of(SECTOR)..)
        .unwrap_or_default();
    let mut sectors = sectors.chunks(SECTOR);
    // A few zeros may be part of a number.
    zeros(rest) || sectors.any(|sector| sector.len() >= SECTOR / 16 && zeros(sector))
}

fn skip_padding(at: usize) -> usize {
    let left = BLOCK - at % BLOCK;
    if left < HEADER { at + left } else { at }
}

/// The whole stretch that begins here, if there is one.
fn stretch(file: &[u8], at: usize) -> Option<Stretch<'_>> {
    let header = file.get(at..)?.first_chunk::<HEADER>()?;
    let [c0, c1, c2, c3, l0, l1, kind] = *header;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let next = at + HEADER + length;
    if !(FULL..=LAST).contains(&kind) || at % BLOCK + HEADER + length > BLOCK {
        return None;
    }
    let bytes = file.get(at + HEADER..next)?;
    let stored = u32::from_le_bytes([c0, c1, c2, c3]);
    let whole = stored == checksum(kind, bytes);
    whole.then_some(Stretch { kind, bytes, next })
}

/// CRC-32C over kind and bytes, turned and shifted as RocksDB does with checksums it stores.
fn checksum(kind: u8, bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), bytes);
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Where the next whole record begins, looked for at every byte: a damaged length leads nowhere.
fn next_record(file: &[u8], from: usize) -> Option<usize> {
    (from..file.len()).find(|at| {
        let found = stretch(file, *at);
        found.is_some_and(|found| match found.kind {
            FULL => found.bytes.len() >= BATCH_HEADER,
            // Without its end it is no commit that anybody was told of.
            FIRST => ends(file, found.next),
            _ => false,
        })
    })
}

/// Whether the record whose next stretch is here has an end.
fn ends(file: &[u8], mut at: usize) -> bool {
    loop {
        match stretch(file, skip_padding(at)) {
            Some(Stretch { kind: LAST, .. }) => return true,
            Some(Stretch {
                kind: MIDDLE, next, ..
            }) => at = next,
            _ => return false,
        }
    }
}

/// The bytes between, without the headers that must stand there.
fn body(file: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut at = skip_padding(from);
    while at < to {
        let block_end = at + BLOCK - at % BLOCK;
        let end = block_end.min(to);
        body.extend_from_slice(file.get(at + HEADER..end).unwrap_or_default());
        at = block_end;
    }
    body
}

/// The same records as a new log.
pub fn write(records: &[Record]) -> Vec<u8> {
    let mut file = Vec::new();
    for record in records {
        let mut rest = record.body.as_slice();
        let mut first = true;
        loop {
            let next = skip_padding(file.len());
            file.resize(next, 0);
            let room = BLOCK - next % BLOCK - HEADER;
            let (part, left) = rest.split_at(room.min(rest.len()));
            let kind = match (first, left.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            // A stretch is shorter than a block, whose size fits.
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            file.extend_from_slice(&checksum(kind, part).to_le_bytes());
            file.extend_from_slice(&length.to_le_bytes());
            file.push(kind);
            file.extend_from_slice(part);
            rest = left;
            first = false;
            if rest.is_empty() {
                break;
            }
        }
    }
    file
}

/// One change of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct LoggedChange<'a> {
    /// RocksDB's number of the family.
    pub family: u32,
    /// The key.
    pub key: &'a [u8],
    /// The row, or none when it is deleted.
    pub row: Option<&'a [u8]>,
}

/// The changes of a batch as far as they read, and whether that is all of them.
pub fn changes(body: &[u8]) -> (Vec<LoggedChange<'_>>, bool) {
    let count = body
        .get(8..BATCH_HEADER)
        .and_then(|count| count.try_into().ok());
    let Some(count) = count.map(u32::from_le_bytes) else {
        return (Vec::new(), false);
    };
    let mut rest = body.get(BATCH_HEADER..).unwrap_or_default();
    let mut changes = Vec::new();
    while let Some(change) = change(&mut rest) {
        changes.push(change);
    }
    let complete = rest.is_empty() && u32::try_from(changes.len()) == Ok(count);
    (changes, complete)
}

/// Every change that a batch might hold, looked for at every byte: one damaged length must not hide
/// whatever comes behind it. Most of them are none; a checksum tells.
pub fn candidates(body: &[u8]) -> impl Iterator<Item = LoggedChange<'_>> {
    (BATCH_HEADER..body.len()).filter_map(|at| change(&mut body.get(at..)?))
}

fn change<'a>(rest: &mut &'a [u8]) -> Option<LoggedChange<'a>> {
    // The only two kinds that this program writes: put and delete, each in a named family.
    const DELETE: u8 = 4;
    const PUT: u8 = 5;
    let (kind, mut after) = rest.split_first()?;
    let family = number(&mut after)?;
    let key = slice(&mut after)?;
    let row = match *kind {
        PUT => Some(slice(&mut after)?),
        DELETE => None,
        _ => return None,
    };
    *rest = after;
    Some(LoggedChange { family, key, row })
}

/// A number in the 7-bit groups of protocol buffers.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn slice<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (slice, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(slice)
}

#[cfg(test)]
mod tests;

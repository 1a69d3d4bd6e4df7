//! Reads the rows of a table file of RocksDB by itself, as far as they read. RocksDB gives out no row
//! of a block whose checksum is wrong; told not to look at checksums, it follows damaged lengths out
//! of the block. Here every length is compared with what is there.
//!
//! The format is RocksDB's "block-based table", versions 4 to 7, uncompressed: blocks of rows, each
//! with a five byte trailer, an index of them, a list of what else is there ("metaindex"), and a
//! footer of 53 bytes. A block's rows are followed by the list of the places where they begin, so that
//! a damaged length leads nobody astray. Where the index itself is damaged, blocks are searched for.

/// Which table this is: the last eight bytes of each.
const MAGIC: u64 = 0x88e2_41b7_85f4_cff7;
/// Stands in the footer since version 6.
const EXTENDED_MAGIC: &[u8] = &[0x3e, 0x00, 0x7a, 0x00];
const FOOTER: usize = 53;
/// Behind each block: how it is compressed, and a checksum.
const TRAILER: usize = 5;
/// Behind each key: what kind of entry it is (one byte), and the number of its commit.
const KIND_AND_NUMBER: usize = 8;
/// The kind of what was put.
const PUT: u8 = 1;
/// Deleted, put, deleted once.
const KINDS: [u8; 3] = [0, PUT, 7];

/// What stands in a table.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A row, or that there is none any more.
    Row(Row<'a>),
    /// Something of which a length is damaged: what it may have been, likelier first.
    Torn(Vec<Row<'a>>),
}

/// A row as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: Vec<u8>,
    /// Orders the rows of a key: the greatest counts.
    pub number: u64,
    /// None where it was deleted.
    pub row: Option<&'a [u8]>,
}

/// All that reads of a table file, block by block.
pub fn entries(file: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    for block in blocks(file) {
        read_block(block, &mut entries);
    }
    entries
}

/// The blocks that hold rows, without their trailers.
fn blocks(file: &[u8]) -> Vec<&[u8]> {
    let index = index(file).unwrap_or_default();
    let mut blocks = Vec::new();
    let mut at = 0;
    for (number, place) in index.iter().enumerate() {
        // A damaged place doesn't lead to where the next one begins. What such leave out is
        // searched for.
        let next = index.get(number + 1);
        let fits = next.is_none_or(|next| place.end() == Some(next.offset));
        let found = file.get(at..place.offset).zip(place.of(file));
        if let Some((gap, block)) = found.filter(|_| fits) {
            search(gap, &mut blocks);
            blocks.push(block);
            at = place.offset + block.len() + TRAILER;
        }
    }
    search(file.get(at..).unwrap_or_default(), &mut blocks);
    blocks
}

/// Finds whole blocks in bytes of which no index tells.
fn search<'a>(mut bytes: &'a [u8], blocks: &mut Vec<&'a [u8]>) {
    while !bytes.is_empty() {
        let length = whole_block(bytes);
        if let Some(block) = length.and_then(|length| bytes.get(..length)) {
            blocks.push(block);
        }
        let step = length.map_or(1, |length| length + TRAILER);
        bytes = bytes.get(step..).unwrap_or_default();
    }
}

/// The length of the block that begins here, if its rows and its list of places agree.
fn whole_block(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let mut last = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    loop {
        let at = bytes.len() - rest.len();
        // The list tells its own length, and begins with 0; no row looks like that.
        if places.first() == Some(&0) && is_list(rest, &places) {
            return Some(at + (places.len() + 1) * 4);
        }
        (last, _) = read_entry(&mut rest, &last).filter(|(key, _)| is_a_rows(key))?;
        places.push(at);
    }
}

/// Whether it is the key of a row, and not of what else RocksDB writes into a table.
fn is_a_rows(internal: &[u8]) -> bool {
    let kind = internal.len().checked_sub(KIND_AND_NUMBER);
    kind.and_then(|at| internal.get(at))
        .is_some_and(|kind| KINDS.contains(kind))
}

fn is_list(bytes: &[u8], places: &[usize]) -> bool {
    let mut numbers = bytes.chunks_exact(4).map_while(number_at);
    places.iter().all(|place| numbers.next() == Some(*place))
        && numbers.next() == Some(places.len())
}

fn number_at(bytes: &[u8]) -> Option<usize> {
    let number = u32::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(number).ok()
}

/// Where a block is.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    size: usize,
}

impl Place {
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let offset = varint(bytes)?;
        let size = varint(bytes)?;
        Some(Self { offset, size })
    }

    /// Where the next block begins.
    fn end(self) -> Option<usize> {
        self.offset.checked_add(self.size)?.checked_add(TRAILER)
    }

    /// The block, as long as it says itself or else as long as was said.
    fn of(self, file: &[u8]) -> Option<&[u8]> {
        let bytes = file.get(self.offset..)?;
        let length = whole_block(bytes).unwrap_or(self.size);
        let (block, trailer) = bytes.split_at_checked(length)?;
        (trailer.len() >= TRAILER).then_some(block)
    }
}

/// Where the index says that the blocks with rows are.
fn index(file: &[u8]) -> Option<Vec<Place>> {
    let start = file.len().checked_sub(FOOTER)?;
    let (version_and_magic, footer) = (file.get(start + 41..)?, file.get(start + 1..start + 41)?);
    let (version, magic) = version_and_magic.split_first_chunk::<4>()?;
    if magic.first_chunk().copied().map(u64::from_le_bytes) != Some(MAGIC) {
        return None;
    }
    let place = if u32::from_le_bytes(*version) < 6 {
        let mut handles = footer;
        Place::read(&mut handles)?;
        Place::read(&mut handles)?
    } else {
        // The extended magic, two checksums, and the size of the metaindex, which ends here.
        let fields = footer.strip_prefix(EXTENDED_MAGIC)?;
        let size = number_at(fields.get(8..)?)?;
        let offset = start.checked_sub(TRAILER)?.checked_sub(size)?;
        let metaindex = Place { offset, size }.of(file)?;
        let named = |mut part: &[u8]| {
            let (_shared, name) = (varint(&mut part)?, varint(&mut part)?);
            let _length = varint(&mut part)?;
            let (name, mut place) = part.split_at_checked(name)?;
            (name == b"rocksdb.index").then(|| Place::read(&mut place))?
        };
        parts(metaindex)?.into_iter().find_map(named)?
    };
    let entry = |mut part: &[u8]| {
        // A value has no length here: places can be told apart without.
        let (_shared, key) = (varint(&mut part)?, varint(&mut part)?);
        Place::read(&mut part.get(key..)?)
    };
    parts(place.of(file)?)?.into_iter().map(entry).collect()
}

/// What lies between the places that a block lists; none where the list is damaged.
fn parts(block: &[u8]) -> Option<Vec<&[u8]>> {
    let end = block.len().checked_sub(4)?;
    // The upper four bits tell of formats that are not used here.
    let count = number_at(block.get(end..)?)? & 0x0fff_ffff;
    let list = end.checked_sub(count.checked_mul(4)?)?;
    let rows = block.get(..list)?;
    let places = block.get(list..end)?.chunks_exact(4).map(number_at);
    let mut places = places.collect::<Option<Vec<_>>>()?;
    if places.first() != Some(&0) {
        return None;
    }
    places.push(rows.len());
    let parts = places.windows(2).map(|pair| match *pair {
        [from, to] if from < to => rows.get(from..to),
        _ => None,
    });
    parts.collect()
}

fn read_block<'a>(block: &'a [u8], entries: &mut Vec<Entry<'a>>) {
    match parts(block) {
        Some(parts) => parts.into_iter().for_each(|part| {
            let rest = read_rows(part, entries);
            if !rest.is_empty() {
                entries.push(Entry::Torn(torn(rest)));
            }
        }),
        // The list of places is what is damaged, and the rows before it follow each other.
        None => {
            read_rows(block, entries);
        }
    }
}

/// Reads rows that follow each other; gives what doesn't read as one, and all behind it.
fn read_rows<'a>(bytes: &'a [u8], entries: &mut Vec<Entry<'a>>) -> &'a [u8] {
    let mut rest = bytes;
    let mut last = Vec::new();
    while let Some((key, row)) = read_entry(&mut rest, &last) {
        last = key;
        entries.push(Entry::Row(row));
    }
    rest
}

/// The next row and its key as RocksDB has it; `bytes` go on behind it, or stay where there is none.
/// The first bytes of a key may be those of the `last` one.
fn read_entry<'a>(bytes: &mut &'a [u8], last: &[u8]) -> Option<(Vec<u8>, Row<'a>)> {
    let mut rest = *bytes;
    let (shared, own) = (varint(&mut rest)?, varint(&mut rest)?);
    let length = varint(&mut rest)?;
    let (own, rest) = rest.split_at_checked(own)?;
    let (row, rest) = rest.split_at_checked(length)?;
    let key = [last.get(..shared)?, own].concat();
    let row = row_of(&key, row)?;
    *bytes = rest;
    Some((key, row))
}

fn row_of<'a>(internal: &[u8], row: &'a [u8]) -> Option<Row<'a>> {
    let (key, end) = internal.split_at_checked(internal.len().checked_sub(KIND_AND_NUMBER)?)?;
    let end = u64::from_le_bytes(*end.first_chunk()?);
    let [kind, ..] = end.to_le_bytes();
    Some(Row {
        key: key.to_vec(),
        number: end >> 8,
        // Whatever has bytes was put: the kind is outside of what a row's own checksum guards.
        row: (kind == PUT || !row.is_empty()).then_some(row),
    })
}

/// What a single row with a damaged length can have been: either length may be the right one.
fn torn(part: &[u8]) -> Vec<Row<'_>> {
    let read = || {
        let mut rest = part;
        let _shared = varint(&mut rest)?;
        Some((varint(&mut rest)?, varint(&mut rest)?, rest))
    };
    let Some((key, row, rest)) = read() else {
        return Vec::new();
    };
    [Some(key), rest.len().checked_sub(row)]
        .into_iter()
        .flatten()
        .filter_map(|key| {
            let (key, row) = rest.split_at_checked(key)?;
            row_of(key, row)
        })
        .collect()
}

/// A number of at most 32 bits, seven in a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return usize::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests;

//! From the layouts of earlier programs to this one's.
//!
//! Layout 1 had no checksums: JSON rows were a version byte and JSON, rows of an index the bare
//! bytes. Its rows are rewritten a page at a time. Each page is one commit together with the place
//! it reached, so a program that is killed on the way goes on from there, and no row is taken for
//! one of the other layout. Nothing else reads or writes the store meanwhile.
//!
//! Layout 2 had no alarms, no block lists and no counts; layout 3 no serials of links and no audit
//! trail; layout 4 no device of the bot's own, and did not know of each room whether it is encrypted.
//! Their rows read as they are.

use std::collections::BTreeSet;

use rocksdb::{DB, Direction, IteratorMode, WriteBatch};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vestibule_bridge::alarm::Subject;
use vestibule_bridge::count::Counts;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::host::{Host, ManagementRoom};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::link::{Link, LinkState};
use vestibule_bridge::portal::Portal;
use vestibule_bridge::store::{Read, StoreError};
use vestibule_bridge::time::Timestamp;

use super::codec::{alarm_key, backend, from_json, joined, seal, serial_key, to_json, unseal};
use super::damage::damaged_row;
use super::families::Family;
use super::rows::handle;
use super::salvage::Lost;
use super::transaction::Quarantined;
use super::{COUNTS_KEY, SCHEMA, SCHEMA_KEY, durable};

/// How many rows are rewritten in one commit.
const PAGE: usize = 1000;
const PLACE_KEY: &[u8] = b"migrating";
/// The version byte of layout 1.
const OLD_ROW: u8 = 1;

/// How far the rows of layout 1 are rewritten.
#[derive(Serialize, Deserialize)]
struct Place {
    /// The family's name.
    family: String,
    /// Its last key that is done.
    after: Vec<u8>,
    /// The chats whose rows did not read.
    portals: BTreeSet<PortalId>,
}

/// The layout of an open store; none when it is new.
pub fn layout(db: &DB) -> Read<Option<u64>> {
    let family = Family::GlobalSchema;
    let row = db.get_cf(handle(db, family)?, SCHEMA_KEY);
    let Some(row) = row.map_err(|error| backend(family, error))? else {
        return Ok(None);
    };
    let payload = match row.split_first() {
        Some((&OLD_ROW, json)) => json,
        _ => unseal(family, SCHEMA_KEY, &row)?,
    };
    from_json(family, SCHEMA_KEY, payload).map(Some)
}

/// Writes down which layout the store has.
pub fn mark(db: &DB, layout: u64) -> Read<()> {
    let mut batch = WriteBatch::default();
    put(db, &mut batch, SCHEMA_KEY, &layout)?;
    write(db, batch)
}

/// Rewrites all rows of layout 1. Gives whose rows did not read.
pub fn from_1(db: &DB) -> Read<Lost> {
    let mut lost = Lost::default();
    while !step(db, PAGE, &mut lost)? {}
    Ok(lost)
}

/// Rewrites one page; whether it was the last one.
pub fn step(db: &DB, page: usize, lost: &mut Lost) -> Read<bool> {
    let place = place(db)?;
    lost.portals.extend(&place.portals);
    let Some(family) = Family::ALL
        .into_iter()
        .find(|family| family.name() == place.family)
    else {
        return Err(backend(Family::GlobalSchema, "the migration is lost"));
    };
    let rows = rows(db, family, &place.after, page)?;
    let mut batch = WriteBatch::default();
    let handle = handle(db, family)?;
    for (key, row) in &rows {
        match payload(family, key, row) {
            Some(payload) => batch.put_cf(handle, key, seal(family, key, payload)),
            None => {
                lost.add(damaged_row(family, key, row));
                batch.delete_cf(handle, key);
            }
        }
    }
    let next = match rows.last() {
        Some((last, _)) if rows.len() == page => Some((family, last.to_vec())),
        // `global_schema` is the last of all: its few rows go with the end of the work.
        _ => Family::ALL
            .get(family as usize + 1)
            .map(|next| (*next, Vec::new())),
    };
    let ended = next.is_none();
    match next {
        Some((family, after)) => {
            let place = Place {
                family: family.name().to_owned(),
                after,
                portals: lost.portals.clone(),
            };
            put(db, &mut batch, PLACE_KEY, &place)?;
        }
        None => {
            batch.delete_cf(handle, PLACE_KEY);
            put(db, &mut batch, SCHEMA_KEY, &2u64)?;
            put_quarantine(db, &mut batch, &lost.portals)?;
        }
    }
    write(db, batch)?;
    Ok(ended)
}

/// Sets chats aside as long as nothing else reads or writes. Their deadlines stay: when they are
/// due, the rest is done.
pub fn put_quarantine(db: &DB, batch: &mut WriteBatch, portals: &BTreeSet<PortalId>) -> Read<()> {
    let family = Family::PortalidQuarantine;
    let payload = to_json(family, &Quarantined { at: None, count: 1 })?;
    for portal in portals {
        let key = portal.as_u128().to_be_bytes();
        batch.put_cf(handle(db, family)?, key, seal(family, &key, &payload));
    }
    Ok(())
}

/// The payload of a row of layout 1, if it reads.
fn payload<'a>(family: Family, key: &[u8], row: &'a [u8]) -> Option<&'a [u8]> {
    if !family.is_json() {
        return Some(row);
    }
    let json = row.strip_prefix(&[OLD_ROW])?;
    fn reads<T: DeserializeOwned>(family: Family, key: &[u8], json: &[u8]) -> bool {
        from_json::<T>(family, key, json).is_ok()
    }
    let reads = match family {
        Family::LinkidLink => reads::<Link>(family, key, json),
        Family::PortalidPortal => reads::<Portal>(family, key, json),
        Family::HostidHost => reads::<Host>(family, key, json),
        Family::RoomidManagement => reads::<ManagementRoom>(family, key, json),
        Family::EffectidEffect => reads::<Effect>(family, key, json),
        Family::PortalSeqFrame => reads::<InboxFrame>(family, key, json),
        _ => reads::<u64>(family, key, json),
    };
    reads.then_some(json)
}

type RawRow = (Box<[u8]>, Box<[u8]>);

fn rows(db: &DB, family: Family, after: &[u8], page: usize) -> Read<Vec<RawRow>> {
    let from = if after.is_empty() {
        Vec::new()
    } else {
        joined(after, &[0])
    };
    let rows = db.iterator_cf(
        handle(db, family)?,
        IteratorMode::From(&from, Direction::Forward),
    );
    let own = |key: &[u8]| family == Family::GlobalSchema && key == PLACE_KEY;
    rows.filter(|row| !row.as_ref().is_ok_and(|(key, _)| own(key)))
        .take(page)
        .map(|row| row.map_err(|error| backend(family, error)))
        .collect()
}

fn place(db: &DB) -> Read<Place> {
    let family = Family::GlobalSchema;
    let row = db.get_cf(handle(db, family)?, PLACE_KEY);
    match row.map_err(|error| backend(family, error))? {
        Some(row) => from_json(family, PLACE_KEY, unseal(family, PLACE_KEY, &row)?),
        None => Ok(Place {
            family: Family::LinkidLink.name().to_owned(),
            after: Vec::new(),
            portals: BTreeSet::new(),
        }),
    }
}

/// From layout 2: every link and chat gets an alarm that rings at once, and then sets itself to the
/// time that is right for it; what is open is counted. Done twice it does no more than once.
pub fn from_2(db: &DB) -> Read<()> {
    let mut counts = Counts {
        open_links: 0,
        open_chats: 0,
        ..counts(db)?
    };
    each(db, Family::LinkidLink, |link: &mut Link| {
        counts.open_links += u64::from(link.state == LinkState::Open);
        (Subject::Link(link.id), &mut link.alarm_at)
    })?;
    each(db, Family::PortalidPortal, |portal: &mut Portal| {
        counts.open_chats += u64::from(!portal.is_closed());
        (Subject::Portal(portal.id), &mut portal.alarm_at)
    })?;
    let mut batch = WriteBatch::default();
    put(db, &mut batch, COUNTS_KEY, &counts)?;
    put(db, &mut batch, SCHEMA_KEY, &3u64)?;
    write(db, batch)
}

/// From layout 3: every link gets a serial. The count of them is stored with each page, so that a
/// program which is killed on the way gives none twice.
pub fn from_3(db: &DB) -> Read<()> {
    let family = Family::LinkidLink;
    let mut after = Vec::new();
    loop {
        let rows = rows(db, family, &after, PAGE)?;
        let mut batch = WriteBatch::default();
        let mut counts = counts(db)?;
        for (key, row) in &rows {
            let read = unseal(family, key, row).and_then(|json| from_json(family, key, json));
            let Ok(mut link): Read<Link> = read else {
                continue;
            };
            if link.serial > 0 {
                continue;
            }
            counts.last_serial += 1;
            link.serial = counts.last_serial;
            let row = seal(family, key, &to_json(family, &link)?);
            batch.put_cf(handle(db, family)?, key, row);
            let index = Family::SerialLinkid;
            let serial = serial_key(link.serial);
            let row = seal(index, &serial, &link.id.as_u128().to_be_bytes());
            batch.put_cf(handle(db, index)?, serial, row);
        }
        put(db, &mut batch, COUNTS_KEY, &counts)?;
        let last = rows.last().filter(|_| rows.len() == PAGE);
        if last.is_none() {
            put(db, &mut batch, SCHEMA_KEY, &4u64)?;
        }
        write(db, batch)?;
        match last {
            Some((last, _)) => after = last.to_vec(),
            None => return Ok(()),
        }
    }
}

/// From layout 4, whose rows stay as they are. The number keeps an earlier program from opening the
/// store: it would speak in the clear where the bot's device encrypts.
pub fn from_4(db: &DB) -> Read<()> {
    mark(db, SCHEMA)
}

/// The counts as they are stored. Without them the maxima of the whole bridge are reached later than
/// they should be.
fn counts(db: &DB) -> Read<Counts> {
    let family = Family::GlobalSchema;
    let row = db.get_cf(handle(db, family)?, COUNTS_KEY);
    let row = row.map_err(|error| backend(family, error))?;
    let read = row.map(|row| {
        unseal(family, COUNTS_KEY, &row).and_then(|json| from_json(family, COUNTS_KEY, json))
    });
    match read {
        None | Some(Err(StoreError::Damaged(_))) => Ok(Counts::default()),
        Some(counts) => counts,
    }
}

/// Sets the alarm of each row of a family that has none. One that doesn't read is left to whoever
/// needs it.
fn each<T: Serialize + DeserializeOwned>(
    db: &DB,
    family: Family,
    mut alarm: impl FnMut(&mut T) -> (Subject, &mut Option<Timestamp>),
) -> Read<()> {
    const AT_ONCE: Timestamp = Timestamp(0);
    let mut after = Vec::new();
    loop {
        let rows = rows(db, family, &after, PAGE)?;
        let mut batch = WriteBatch::default();
        for (key, row) in &rows {
            let read = unseal(family, key, row).and_then(|json| from_json(family, key, json));
            let Ok(mut row) = read else { continue };
            let (subject, at) = alarm(&mut row);
            if at.is_some() {
                continue;
            }
            *at = Some(AT_ONCE);
            let ring = alarm_key(AT_ONCE, subject);
            batch.put_cf(
                handle(db, family)?,
                key,
                seal(family, key, &to_json(family, &row)?),
            );
            let alarms = Family::TimeAlarm;
            batch.put_cf(handle(db, alarms)?, &ring, seal(alarms, &ring, &[]));
        }
        write(db, batch)?;
        match rows.last() {
            Some((last, _)) if rows.len() == PAGE => after = last.to_vec(),
            _ => return Ok(()),
        }
    }
}

/// Whether there is a row of this name.
pub fn has(db: &DB, key: &[u8]) -> Read<bool> {
    let family = Family::GlobalSchema;
    let row = db.get_cf(handle(db, family)?, key);
    Ok(row.map_err(|error| backend(family, error))?.is_some())
}

/// Deletes the row of this name, durably.
pub fn delete(db: &DB, key: &[u8]) -> Read<()> {
    let mut batch = WriteBatch::default();
    batch.delete_cf(handle(db, Family::GlobalSchema)?, key);
    write(db, batch)
}

/// Puts a row of this name.
pub fn put<T: Serialize>(db: &DB, batch: &mut WriteBatch, key: &[u8], row: &T) -> Read<()> {
    let family = Family::GlobalSchema;
    let payload = to_json(family, row)?;
    batch.put_cf(handle(db, family)?, key, seal(family, key, &payload));
    Ok(())
}

/// Writes, durably.
pub fn write(db: &DB, batch: WriteBatch) -> Read<()> {
    let family = Family::GlobalSchema;
    db.write_opt(batch, &durable())
        .map_err(|error| backend(family, error))
}

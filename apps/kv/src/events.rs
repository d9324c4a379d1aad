//! Writes of values, with the events of their keys.

use thegiant::{EventClass, KeyEvents, prelude::*};

use crate::{
    cow::CowBytes,
    databases::{Databases, Expiry, Result},
    store::Store,
};

impl<D: Databases> Store<D> {
    /// Sets the value of a key.
    #[inline(always)]
    pub(crate) fn put(
        &mut self,
        client: &Client,
        key: &[u8],
        value: CowBytes<'_>,
        expiry: Expiry,
        events: &mut KeyEvents,
    ) -> Result<()> {
        self.write("set", client.db(), key, value, expiry, events)
    }

    /// Sets the value of a key, which is this event.
    #[inline(always)]
    pub(crate) fn write(
        &mut self,
        event: &'static str,
        db: u16,
        key: &[u8],
        value: CowBytes<'_>,
        expiry: Expiry,
        events: &mut KeyEvents,
    ) -> Result<()> {
        let is_new = self.is_new(db, key, events)?;
        self.data.set(db, key, value, expiry)?;
        if events.is_observed() {
            written(event, db, key, is_new, expiry, events);
        }
        Ok(())
    }

    /// Returns whether a command creates the key, which only its events need to know.
    pub(crate) fn is_new(&self, db: u16, key: &[u8], events: &KeyEvents) -> Result<bool> {
        Ok(events.is_published(EventClass::New) && !self.data.contains(db, key)?)
    }
}

/// Adds the events of a written value. A deadline that is set is a second event.
#[cold]
#[inline(never)]
fn written(event: &'static str, db: u16, key: &[u8], is_new: bool, expiry: Expiry, events: &mut KeyEvents) {
    changed(event, db, key, is_new, events);
    if let Expiry::At(_) = expiry {
        events.add(EventClass::Generic, "expire", db, key);
    }
}

/// Adds the event of a changed string, after the one of a new key.
pub(crate) fn changed(event: &'static str, db: u16, key: &[u8], is_new: bool, events: &mut KeyEvents) {
    created(db, key, is_new, events);
    events.add(EventClass::String, event, db, key);
}

/// Adds the event of a new key, if it is one.
pub(crate) fn created(db: u16, key: &[u8], is_new: bool, events: &mut KeyEvents) {
    if is_new {
        events.add(EventClass::New, "new", db, key);
    }
}

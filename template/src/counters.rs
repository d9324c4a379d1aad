//! Named counters, in memory. Replace them by the state and the commands of your service.

use std::collections::HashMap;

use thegiant::prelude::*;

/// Named counters.
#[derive(Default)]
pub struct Counters {
    values: HashMap<Bytes, i64>,
}

impl Actor for Counters {
    type Context = Context<Self>;
}

#[commands]
impl Counters {
    /// Adds to a counter and returns its new value.
    #[command("COUNT", write)]
    fn count(&mut self, name: Key, by: Option<i64>) -> Result<i64, Error> {
        let value = self.values.entry(name.into()).or_default();
        let sum = value.checked_add(by.unwrap_or(1));
        *value = sum.ok_or_else(|| Error::err("the counter would overflow"))?;
        Ok(*value)
    }

    /// Returns the value of a counter.
    #[command("VALUE", readonly, fast)]
    fn value(&self, name: Key<&[u8]>) -> Option<i64> {
        self.values.get(*name).copied()
    }
}

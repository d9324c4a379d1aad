use thegiant::{KeyPattern, prelude::*};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly, tenant_safe)]
    fn get(&self, _key: Key) {}

    #[command("COUNT", readonly, tenant_safe)]
    fn count(&self, _keys: Option<Vec<Key>>) {}

    #[command("MGET", readonly, tenant_safe)]
    fn mget(&self, _keys: Vec<Key>) {}

    #[command("KEYS", readonly, tenant_safe)]
    fn keys(&self, _pattern: KeyPattern<'_>) {}
}

fn main() {}

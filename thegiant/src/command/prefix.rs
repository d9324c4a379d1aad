//! Commands whose names begin with a prefix.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Mutex, PoisonError},
};

use super::Spec;

/// The descriptions with a prefix, by the prefix and the address of the description without it.
///
/// They stay in memory until the process ends, like those without a prefix. A program has few of them.
static PREFIXED: Mutex<BTreeMap<(String, usize), &'static Spec>> = Mutex::new(BTreeMap::new());

/// Returns the description of the same command with a prefix before its name and its aliases.
pub(crate) fn prefixed(spec: &'static Spec, prefix: &str) -> &'static Spec {
    if prefix.is_empty() {
        return spec;
    }
    let prefix = prefix.to_ascii_uppercase();
    // No code panics while it holds the lock.
    let mut known = PREFIXED.lock().unwrap_or_else(PoisonError::into_inner);
    let name = |name: &str| -> &'static str { Box::leak(format!("{prefix}{name}").into_boxed_str()) };
    let build = || {
        let aliases: Vec<_> = spec.aliases.iter().copied().map(name).collect();
        let mut prefixed = spec.clone();
        prefixed.name = name(spec.name);
        prefixed.aliases = Box::leak(aliases.into_boxed_slice());
        &*Box::leak(Box::new(prefixed))
    };
    let key = (prefix.clone(), ptr::from_ref(spec).addr());
    known.entry(key).or_insert_with(build)
}

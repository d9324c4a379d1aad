//! Which instance should own which partition.

use std::collections::BTreeMap;

use crate::members::{Instance, Members, Owner};

/// The instances with a heartbeat, by name, with their addresses.
pub(super) type Live = BTreeMap<String, String>;

/// Returns the next version of the topology, if there has to be one.
///
/// There has to be one if the live instances are others than those of the current version, or if a partition needs an owner.
/// A partition stays where it is if its owner is live and `is_kept`. The others go to the instances with the fewest partitions.
pub(super) fn next(
    current: &Members,
    partitions: u16,
    live: &Live,
    is_kept: impl Fn(u16, &str) -> bool,
) -> Option<Members> {
    let instances: Vec<_> = live
        .iter()
        .map(|(name, address)| Instance { name: name.clone(), address: address.clone() })
        .collect();
    let keep = |partition| {
        let name = &current.owner(partition)?.name;
        let instance = instances.iter().position(|instance| instance.name == *name)?;
        let epoch = current.epoch(partition)?;
        is_kept(partition, name).then_some(Owner { instance, epoch })
    };
    let kept: Vec<_> = (0..partitions).map(keep).collect();
    if instances.is_empty() || (instances == current.instances && kept.iter().all(Option::is_some)) {
        return None;
    }
    let mut counts = vec![0; instances.len()];
    kept.iter().flatten().for_each(|owner| counts[owner.instance] += 1);
    let epoch = current.version + 1;
    let owners = kept.into_iter().map(|kept| {
        kept.unwrap_or_else(|| {
            let instance = least(&counts);
            counts[instance] += 1;
            Owner { instance, epoch }
        })
    });
    let owners = owners.collect();
    Some(Members { version: epoch, instances, owners })
}

/// Returns the partitions that an instance has to give to others.
///
/// Without them, no instance has two more than another.
pub(super) fn surplus(members: &Members, name: &str) -> Vec<u16> {
    let mut counts = vec![0; members.instances.len()];
    members.owners.iter().for_each(|owner| counts[owner.instance] += 1);
    let mut surplus = 0;
    if counts.is_empty() {
        return Vec::new();
    }
    loop {
        let (most, least) = (most(&counts), least(&counts));
        if counts[most] <= counts[least] + 1 {
            break;
        }
        counts[most] -= 1;
        counts[least] += 1;
        surplus += usize::from(members.instances[most].name == name);
    }
    let own = |partition: &u16| members.owner(*partition).is_some_and(|owner| owner.name == name);
    (0..members.partitions()).rev().filter(own).take(surplus).collect()
}

/// Returns the index of the first of the smallest counts.
fn least(counts: &[usize]) -> usize {
    (0..counts.len()).min_by_key(|index| counts[*index]).unwrap_or_default()
}

/// Returns the index of the last of the greatest counts.
fn most(counts: &[usize]) -> usize {
    (0..counts.len()).max_by_key(|index| counts[*index]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(names: &[&str]) -> Live {
        names.iter().map(|name| ((*name).to_owned(), format!("{name}:1"))).collect()
    }

    fn parse(text: &str) -> Members {
        text.parse().expect("it is valid")
    }

    #[test]
    fn the_first_member_gets_all() {
        let first = next(&Members::default(), 4, &live(&["a"]), |_, _| true).expect("a change");
        assert_eq!(first.to_string(), "version 1\npartitions 4\na a:1 0-3@1\n");
        assert_eq!(next(&first, 4, &live(&["a"]), |_, _| true), None);
        assert_eq!(next(&first, 4, &live(&[]), |_, _| true), None);
    }

    #[test]
    fn partitions_of_a_dead_owner_are_divided_evenly() {
        let current = parse("version 5\npartitions 6\na a:1 0-1@1\nb b:1 2-3@1\nc c:1 4-5@4\n");
        let after = next(&current, 6, &live(&["a", "b"]), |_, _| true).expect("a change");
        assert_eq!(after.to_string(), "version 6\npartitions 6\na a:1 0-1@1 4@6\nb b:1 2-3@1 5@6\n");
    }

    #[test]
    fn a_partition_that_is_not_kept_goes_to_the_one_with_the_fewest() {
        let current = parse("version 5\npartitions 4\na a:1 0-2@1\nb b:1 3@1\n");
        let after = next(&current, 4, &live(&["a", "b"]), |partition, _| partition != 2);
        let after = after.expect("a change").to_string();
        assert_eq!(after, "version 6\npartitions 4\na a:1 0-1@1\nb b:1 2@6 3@1\n");
    }

    #[test]
    fn a_member_gives_as_much_as_makes_all_even() {
        let members = parse("version 5\npartitions 4\na a:1 0-1@1\nb b:1 2-3@1\nc c:1\n");
        let [a, b, c] = ["a", "b", "c"].map(|name| surplus(&members, name));
        assert_eq!((a, b, c), (vec![], vec![3], vec![]));
        let members = parse("version 5\npartitions 8\na a:1 0-7@1\nb b:1\nc c:1\n");
        assert_eq!(surplus(&members, "a"), [7, 6, 5, 4, 3]);
        assert!(surplus(&Members::default(), "a").is_empty());
    }
}

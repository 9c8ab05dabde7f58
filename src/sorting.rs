//! Sorts whose code exists only once: the compiler repeats those of the standard library, 5 KB, for each use.

use std::cmp::Ordering;

/// Collects items into a `BTreeMap` or a `BTreeSet`, one by one; `collect` sorts them first.
pub(crate) fn collect_sorted<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut collection = C::default();
    collection.extend(items);
    collection
}

/// Sorts. Equal items keep their order.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts by a comparison. Equal items keep their order.
pub(crate) fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let swaps = swaps(items.len(), &|one, other| compare(&items[one], &items[other]));
    for (place, from) in swaps.into_iter().enumerate() {
        items.swap(place, from);
    }
}

/// Sorts by a key. Items with equal keys keep their order.
pub(crate) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Returns, for each place, the later or same place with which it is swapped.
fn swaps(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|one, other| compare(*one, *other));
    for place in 0..len {
        // The item of an earlier place is where the swap of that place has put it.
        while order[place] < place {
            order[place] = order[order[place]];
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorts_like_the_standard_library(mut items: Vec<(u8, u8)>) {
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            sort_by_key(&mut items, |(key, _)| *key);
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn collects_like_the_standard_library(items: Vec<(u8, u8)>) {
            let expected: BTreeMap<u8, u8> = items.iter().copied().collect();
            prop_assert_eq!(collect_sorted::<BTreeMap<u8, u8>, _>(items), expected);
        }
    }
}

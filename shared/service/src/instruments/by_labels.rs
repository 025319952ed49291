//! Values by sets of labels. A set that is known is found without a copy of its labels: a worker asks several times for each
//! job.

use std::sync::{PoisonError, RwLock};

/// Values by sets of `N` labels, in the order of the labels. A sorted list, because there are few sets.
#[derive(Debug)]
pub(super) struct ByLabels<T, const N: usize>(Vec<([String; N], T)>);

impl<T, const N: usize> ByLabels<T, N> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn get(&self, labels: [&str; N]) -> Option<&T> {
        let at = self.position(labels).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, labels: [&str; N]) -> Option<&mut T> {
        let at = self.position(labels).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Adds the value of labels that have none.
    pub(super) fn insert(&mut self, labels: [&str; N], value: T) {
        if let Err(at) = self.position(labels) {
            self.0.insert(at, (labels.map(str::to_owned), value));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &([String; N], T)> {
        self.0.iter()
    }

    fn position(&self, labels: [&str; N]) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(known, _)| known.iter().map(String::as_str).cmp(labels))
    }
}

/// The recorder's handles of one metric. To ask the recorder each time would copy the labels. A handle counts nothing if it is
/// asked for before there is a recorder.
#[derive(Debug)]
pub(super) struct Handles<H, const N: usize>(RwLock<ByLabels<H, N>>);

impl<H: Clone, const N: usize> Handles<H, N> {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(ByLabels::new()))
    }

    /// The handle of these labels, from `register` the first time.
    pub(super) fn get(&self, labels: [&str; N], register: impl Fn() -> H) -> H {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = known.get(labels) {
            return handle.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have registered it meanwhile.
        if let Some(handle) = known.get(labels) {
            return handle.clone();
        }
        let handle = register();
        known.insert(labels, handle.clone());
        handle
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_set_of_labels_has_its_own_value() {
        let mut sums = ByLabels::new();
        for (labels, by) in [(["b", "a"], 1), (["a", "b"], 2), (["b", "a"], 3)] {
            match sums.get_mut(labels) {
                Some(sum) => *sum += by,
                None => sums.insert(labels, by),
            }
        }
        let listed: Vec<_> = sums
            .iter()
            .map(|([a, b], sum)| (&**a, &**b, *sum))
            .collect();
        assert_eq!(listed, [("a", "b", 2), ("b", "a", 4)]);
        assert_eq!(sums.get(["b", "b"]), None);
    }

    #[test]
    fn a_handle_is_registered_once() {
        let handles = Handles::new();
        let registered = Cell::new(0);
        let register = || {
            registered.set(registered.get() + 1);
            registered.get()
        };
        assert_eq!(handles.get(["a"], register), 1);
        assert_eq!(handles.get(["b"], register), 2);
        assert_eq!(handles.get(["a"], register), 1);
    }
}

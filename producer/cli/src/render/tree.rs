//! Draws a dependency graph as a tree: each node is below the deepest of its needs.

use std::collections::HashMap;

/// Deeper nodes are not indented further.
const DEEPEST: usize = 12;

/// A line of the tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    /// The index of the node.
    pub(crate) index: usize,
    /// The prefix of the node's line.
    pub(crate) before: String,
    /// The prefix of further lines of the node.
    pub(crate) below: String,
}

/// The nodes in the order of the tree; `needs` has the indices of the nodes that each one needs.
pub(crate) fn branches(needs: &[Vec<usize>]) -> Vec<Branch> {
    let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for (index, parent) in parents(needs).iter().enumerate() {
        children.entry(*parent).or_default().push(index);
    }
    let mut branches = Vec::with_capacity(needs.len());
    // Iterative, because a chain may be deeper than the stack.
    let mut open: Vec<(usize, usize, bool, String)> = Vec::new();
    let push = |open: &mut Vec<_>, parent: Option<usize>, depth: usize, before: &str| {
        let nodes = children.get(&parent).map(Vec::as_slice).unwrap_or_default();
        let last = nodes.last().copied();
        for index in nodes.iter().rev() {
            open.push((*index, depth, Some(*index) == last, before.to_owned()));
        }
    };
    push(&mut open, None, 0, "");
    while let Some((index, depth, last, before)) = open.pop() {
        let (branch, after) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let below = if depth < DEEPEST {
            format!("{before}{after}")
        } else {
            before.clone()
        };
        push(&mut open, Some(index), depth + 1, &below);
        branches.push(Branch {
            index,
            before: format!("{before}{branch}"),
            below,
        });
    }
    branches
}

/// The parent of each node: the need that is furthest from the roots.
fn parents(needs: &[Vec<usize>]) -> Vec<Option<usize>> {
    let depths = depths(needs);
    let depth = |index: usize| depths.get(index).copied().flatten();
    needs
        .iter()
        .enumerate()
        .map(|(index, needs)| {
            let deepest = needs
                .iter()
                .copied()
                .max_by_key(|need| (depth(*need), *need));
            // A node of a cycle would be its own ancestor. Chains that started have no cycles.
            deepest.filter(|_| depth(index).is_some())
        })
        .collect()
}

/// The distance of each node from the roots; `None` for nodes of a cycle.
fn depths(needs: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut depths: Vec<Option<usize>> = vec![None; needs.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    let mut left: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (index, needs) in needs.iter().enumerate() {
        for need in needs {
            if let Some(list) = dependents.get_mut(*need) {
                list.push(index);
            }
        }
    }
    let mut free: Vec<usize> = (0..needs.len())
        .filter(|index| left.get(*index) == Some(&0))
        .collect();
    while let Some(index) = free.pop() {
        let needs = needs.get(index).map(Vec::as_slice).unwrap_or_default();
        let deepest = needs
            .iter()
            .filter_map(|need| depths.get(*need).copied().flatten())
            .max();
        if let Some(depth) = depths.get_mut(index) {
            *depth = Some(deepest.map_or(0, |deepest| deepest + 1));
        }
        for dependent in dependents.get(index).map(Vec::as_slice).unwrap_or_default() {
            if let Some(left) = left.get_mut(*dependent) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    free.push(*dependent);
                }
            }
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_below_its_deepest_need() {
        assert_eq!(
            parents(&[vec![], vec![0], vec![0, 1]]),
            [None, Some(0), Some(1)]
        );
    }

    #[test]
    fn nodes_of_a_cycle_are_roots() {
        assert_eq!(parents(&[vec![1], vec![0]]), [None, None]);
    }
}

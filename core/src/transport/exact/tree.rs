//! The basis of a transportation problem: a spanning tree over rows and columns.
//!
//! Nodes 0..n are the rows, n..n+m the columns. Each node but the root holds the arc to its parent:
//! its flow and its cost. Potentials are read off the tree, π(child) = cost − π(parent), and never
//! updated by differences, so they carry no more error than one path of the tree: half a machine
//! epsilon of each |π| on it. The tree keeps this sum beside each potential.
//!
//! A tree is *strongly feasible* (Cunningham 1976) when every arc without flow can send some towards
//! the root. Arcs lead from rows to columns, so: a column always has flow to its parent, and only a
//! row may have none. When the arc that leaves is the last of those that block, in the direction of
//! the cycle from its apex, the next tree is strongly feasible too, and no basis comes twice.

use alloc::vec::Vec;

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    /// First child, and the next child of the parent.
    child: u32,
    next: u32,
    depth: u32,
    /// Of the arc to the parent.
    flow: u64,
    cost: f64,
}

pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The child before, of the same parent; apart so that a node is half a cache line.
    prev: Vec<u32>,
    /// Potentials, rows then columns.
    pub(super) pi: Vec<f64>,
    /// Σ |π| over the path from the root to each node.
    path: Vec<f64>,
    rows: usize,
    /// Nodes whose children are to be set.
    stack: Vec<u32>,
}

impl Tree {
    /// All nodes alone.
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        let lone = Node { parent: NONE, child: NONE, next: NONE, depth: 0, flow: 0, cost: 0.0 };
        let count = rows + columns;
        Tree {
            nodes: alloc::vec![lone; count],
            pi: alloc::vec![0.0; count],
            path: alloc::vec![0.0; count],
            prev: alloc::vec![NONE; count],
            rows,
            stack: Vec::with_capacity(count),
        }
    }

    /// Hangs `node` under `parent`.
    pub(super) fn attach(&mut self, node: usize, parent: usize, flow: u64, cost: f64) {
        let first = self.nodes[parent].child;
        let hung = &mut self.nodes[node];
        (hung.parent, hung.next) = (parent as u32, first);
        (hung.flow, hung.cost) = (flow, cost);
        self.prev[node] = NONE;
        if first != NONE {
            self.prev[first as usize] = node as u32;
        }
        self.nodes[parent].child = node as u32;
    }

    fn detach(&mut self, node: usize) {
        let Node { parent, next, .. } = self.nodes[node];
        let prev = self.prev[node];
        if prev == NONE {
            self.nodes[parent as usize].child = next;
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next != NONE {
            self.prev[next as usize] = prev;
        }
    }

    /// Gives the arcs new costs and sets all potentials, the root's to 0.
    pub(super) fn price(&mut self, cost: impl Fn(usize, usize) -> f64) {
        let mut root = 0;
        for node in 0..self.nodes.len() {
            match self.arc(node) {
                Some((row, column, _)) => self.nodes[node].cost = cost(row, column),
                None => root = node,
            }
        }
        self.settle(root);
    }

    /// A potential less what rounding may have added to it.
    ///
    /// Where low_i + low_j − C_ij is above 0 *as computed*, it is so in truth. With u = ε/2: the
    /// potentials are off by u Σ|π| at most, the two differences and the sum here by u |π| each, and
    /// the last difference has the right sign; in all 3u Σ|π|, and 4u are taken off. So rounding can
    /// not make an arc enter, and the argument that no basis comes twice holds in floating point.
    pub(super) fn low(&self, node: usize) -> f64 {
        self.pi[node] - 2.0 * f64::EPSILON * self.path[node]
    }

    /// Row, column and flow of every arc.
    pub(super) fn arcs(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        (0..self.nodes.len()).filter_map(|node| self.arc(node))
    }

    /// Whether every column but a root has flow to its parent.
    #[cfg(test)]
    pub(super) fn strongly_feasible(&self) -> bool {
        self.nodes[self.rows..].iter().all(|node| node.parent == NONE || node.flow > 0)
    }

    /// Row, column and flow of the arc to the parent; `None` for the root.
    fn arc(&self, node: usize) -> Option<(usize, usize, u64)> {
        let Node { parent, flow, .. } = self.nodes[node];
        (parent != NONE).then(|| {
            let parent = parent as usize;
            (node.min(parent), node.max(parent) - self.rows, flow)
        })
    }

    /// Sets depth and potential of a node, whose parent has them, and of all below.
    fn settle(&mut self, top: usize) {
        let Tree { nodes, pi, path, stack, .. } = self;
        let Node { parent, cost, .. } = nodes[top];
        if parent == NONE {
            (nodes[top].depth, pi[top], path[top]) = (0, 0.0, 0.0);
        } else {
            let parent = parent as usize;
            nodes[top].depth = nodes[parent].depth + 1;
            pi[top] = cost - pi[parent];
            path[top] = path[parent] + pi[top].abs();
        }
        stack.push(top as u32);
        while let Some(id) = stack.pop() {
            let Node { mut child, depth, .. } = nodes[id as usize];
            let (above, sum) = (pi[id as usize], path[id as usize]);
            // Leaves, every other node or so, are done without a turn of their own.
            while child != NONE {
                let node = &mut nodes[child as usize];
                node.depth = depth + 1;
                let below = node.cost - above;
                pi[child as usize] = below;
                path[child as usize] = sum + below.abs();
                if node.child != NONE {
                    stack.push(child);
                }
                child = node.next;
            }
        }
    }

    /// Brings the arc (row, column) into the basis.
    pub(super) fn pivot(&mut self, row: usize, column: usize, cost: f64) {
        let ends = [row, column + self.rows];
        let (leaving, side, flow) = self.blocking(ends);
        if flow > 0 {
            self.augment(ends, flow);
        }
        // The subtree under `leaving` hangs from the entering arc now: its path is turned over.
        let (top, mut under) = (ends[side], ends[1 - side]);
        let (mut node, mut arc) = (top, (flow, cost));
        loop {
            let old = self.nodes[node];
            self.detach(node);
            self.attach(node, under, arc.0, arc.1);
            if node == leaving {
                break;
            }
            (under, node, arc) = (node, old.parent as usize, (old.flow, old.cost));
        }
        self.settle(top);
    }

    /// The child end of the leaving arc, the side of the cycle it is on, and the flow it allows.
    fn blocking(&self, ends: [usize; 2]) -> (usize, usize, u64) {
        let nodes = &self.nodes[..];
        let [mut i, mut j] = ends;
        // From the apex down to the row, then from the column up: the last one that blocks leaves.
        let (mut down, mut up) = ((0, u64::MAX), (0, u64::MAX));
        while i != j {
            if nodes[i].depth > nodes[j].depth {
                if i < self.rows && nodes[i].flow < down.1 {
                    down = (i, nodes[i].flow);
                }
                i = nodes[i].parent as usize;
            } else {
                if j >= self.rows && nodes[j].flow <= up.1 {
                    up = (j, nodes[j].flow);
                }
                j = nodes[j].parent as usize;
            }
        }
        if up.1 <= down.1 { (up.0, 1, up.1) } else { (down.0, 0, down.1) }
    }

    /// Sends flow around the cycle that the arc between `ends` closes.
    fn augment(&mut self, [mut i, mut j]: [usize; 2], flow: u64) {
        let rows = self.rows;
        let nodes = &mut self.nodes[..];
        while i != j {
            let down = nodes[i].depth > nodes[j].depth;
            let node = if down { &mut i } else { &mut j };
            let at = &mut nodes[*node];
            // Arcs lead from rows to columns.
            if (*node < rows) == down {
                at.flow -= flow
            } else {
                at.flow += flow
            }
            *node = at.parent as usize;
        }
    }
}

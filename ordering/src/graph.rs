//! The tournament of a proposal and its strict edges, as bit rows.
//!
//! 1. For every ordered pair at most one of `succ` (strict a -> b), `pred` (strict b -> a) holds.
//! 2. `beats` is antisymmetric and agrees with `succ`; a pair is decided if one of them beats.
//! 3. `undecided` is symmetric, and disjoint from all others. Every pair is decided or undecided.
//! 4. A decided pair never changes.

use fairveil_crypto::Digest;

use crate::{
    bits::{Bits, BitsOf, Matrix, tail_mask},
    kernel::{Columns, LANES, Weights, lanes},
    rules::Cut,
};

/// How strong one vertex must beat another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    /// The loser has fewer than T votes: an edge that the order must not invert.
    Strict,
    /// Both sides have T votes.
    Contested,
}

/// Pairs of vertices with what is decided about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Graph {
    size: usize,
    succ: Matrix,
    pred: Matrix,
    beats: Matrix,
    undecided: Matrix,
}

/// Votes and tie-breaks by which pairs are decided at one block.
pub(crate) struct Decider {
    columns: Columns,
    /// T.
    edge: u16,
    /// The place of every vertex's key among all keys.
    ranks: Vec<u32>,
}

/// What one row of weights says about 64 pairs.
struct Word {
    beats: u64,
    succ: u64,
    pred: u64,
    decided: u64,
}

impl Graph {
    fn empty(size: usize) -> Self {
        let matrix = || Matrix::empty(size);
        Self { size, succ: matrix(), pred: matrix(), beats: matrix(), undecided: matrix() }
    }

    /// All pairs, decided where the votes suffice.
    pub(crate) fn new(size: usize, decider: &Decider) -> Self {
        let mut graph = Self::empty(size);
        for vertex in 0..size {
            graph.fill_row(vertex, decider);
        }
        graph
    }

    /// The graph, and the vertices that reach one of `goals`. Only rows of those are computed:
    /// vertices to be cut cost one comparison with each kept one.
    pub(crate) fn reaching(size: usize, goals: &Bits, decider: &Decider, cut: Cut) -> (Self, Bits) {
        let mut graph = Self::empty(size);
        let mut kept = match cut {
            Cut::Strict => goals.clone(),
            #[cfg(test)]
            Cut::Tournament => goals.clone(),
            #[cfg(test)]
            Cut::Nothing => Bits::full(size),
        };
        let mut queue: Vec<usize> = kept.iter().collect();
        while let Some(vertex) = queue.pop() {
            graph.fill_row(vertex, decider);
            for word in 0..kept.words().len() {
                let before = match cut {
                    Cut::Strict => graph.pred.row(vertex)[word],
                    #[cfg(test)]
                    Cut::Tournament => {
                        let beaten = graph.beats.row(vertex)[word];
                        let open = graph.undecided.row(vertex)[word];
                        graph.valid(vertex, word) & !beaten & !open
                    }
                    #[cfg(test)]
                    Cut::Nothing => 0,
                };
                for bit in BitsOf(before & !kept.words()[word]) {
                    kept.insert(word * LANES + bit);
                    queue.push(word * LANES + bit);
                }
            }
        }
        (graph, kept)
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Strict successors of a vertex.
    pub(crate) fn succ(&self, vertex: usize) -> &[u64] {
        self.succ.row(vertex)
    }

    /// Strict predecessors of a vertex.
    pub(crate) fn pred(&self, vertex: usize) -> &[u64] {
        self.pred.row(vertex)
    }

    /// Vertices that this one beats.
    pub(crate) fn beats(&self, vertex: usize) -> &[u64] {
        self.beats.row(vertex)
    }

    pub(crate) fn wins(&self, over: usize, under: usize) -> bool {
        self.beats.contains(over, under)
    }

    /// Vertices that have an undecided pair.
    pub(crate) fn open(&self) -> Bits {
        let mut open = Bits::empty(self.size);
        for vertex in 0..self.size {
            if self.undecided.row(vertex).iter().any(|word| *word != 0) {
                open.insert(vertex);
            }
        }
        open
    }

    /// Decides the undecided pairs of the vertices in `ripe` by the votes of this block.
    pub(crate) fn decide(&mut self, ripe: &Bits, decider: &Decider) {
        for vertex in ripe.iter() {
            for word in 0..self.size.div_ceil(LANES) {
                let open = self.undecided.row(vertex)[word];
                if open == 0 {
                    continue;
                }
                let said = decider.word(vertex, word, &decider.columns.weights(vertex, word));
                for bit in BitsOf(open & said.decided) {
                    let other = word * LANES + bit;
                    let strict = (said.succ | said.pred) >> bit & 1 == 1;
                    let strength = if strict { Strength::Strict } else { Strength::Contested };
                    let won = said.beats >> bit & 1 == 1;
                    let (over, under) = if won { (vertex, other) } else { (other, vertex) };
                    self.insert(over, under, strength);
                }
            }
        }
    }

    /// The vertices and everything behind them over strict edges.
    pub(crate) fn descendants(&self, of: &Bits) -> Bits {
        let mut reached = of.clone();
        let mut queue: Vec<usize> = of.iter().collect();
        while let Some(vertex) = queue.pop() {
            for word in 0..reached.words().len() {
                for bit in BitsOf(self.succ.row(vertex)[word] & !reached.words()[word]) {
                    reached.insert(word * LANES + bit);
                    queue.push(word * LANES + bit);
                }
            }
        }
        reached
    }

    /// The pairs (a, b) with a < b, row by row, as 3 bits: decided, a beats b, strict.
    pub(crate) fn pairs(&self) -> Vec<u8> {
        let mut bytes = PairBits::default();
        for a in 0..self.size {
            for b in a + 1..self.size {
                let decided = !self.undecided.contains(a, b);
                let strict = self.succ.contains(a, b) || self.succ.contains(b, a);
                bytes.push([decided, self.beats.contains(a, b), strict]);
            }
        }
        bytes.bytes
    }

    /// The graph of [`Self::pairs`]; None if the bytes are not exactly such a list.
    pub(crate) fn from_pairs(size: usize, bytes: &[u8]) -> Option<Self> {
        let bits = size.checked_mul(size.saturating_sub(1))?.checked_div(2)?.checked_mul(3)?;
        if bytes.len() != bits.div_ceil(8) {
            return None;
        }
        let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
        if (bits..bytes.len() * 8).any(bit) {
            return None;
        }
        let mut graph = Self::empty(size);
        let mut at = 0;
        for a in 0..size {
            for b in a + 1..size {
                graph.undecided.insert(a, b);
                graph.undecided.insert(b, a);
                let strength = if bit(at + 2) { Strength::Strict } else { Strength::Contested };
                match (bit(at), bit(at + 1)) {
                    (false, false) if strength == Strength::Contested => {}
                    (false, _) => return None,
                    (true, true) => graph.insert(a, b, strength),
                    (true, false) => graph.insert(b, a, strength),
                }
                at += 3;
            }
        }
        Some(graph)
    }

    /// Everything that is decided, as bytes for a digest.
    pub(crate) fn frozen(&self) -> Vec<u8> {
        let matrices = [&self.undecided, &self.beats, &self.succ];
        let words = matrices.iter().flat_map(|matrix| matrix.words());
        words.flat_map(|word| word.to_le_bytes()).collect()
    }

    fn fill_row(&mut self, vertex: usize, decider: &Decider) {
        for word in 0..self.size.div_ceil(LANES) {
            let valid = self.valid(vertex, word);
            let said = decider.word(vertex, word, &decider.columns.weights(vertex, word));
            self.beats.row_mut(vertex)[word] = said.beats & valid;
            self.succ.row_mut(vertex)[word] = said.succ & valid;
            self.pred.row_mut(vertex)[word] = said.pred & valid;
            self.undecided.row_mut(vertex)[word] = valid & !said.decided;
        }
    }

    /// All other vertices of a word.
    fn valid(&self, vertex: usize, word: usize) -> u64 {
        let last = word + 1 == self.size.div_ceil(LANES);
        let present = if last { tail_mask(self.size) } else { u64::MAX };
        let own = if vertex / LANES == word { 1 << (vertex % LANES) } else { 0 };
        present & !own
    }

    fn insert(&mut self, over: usize, under: usize, strength: Strength) {
        self.undecided.remove(over, under);
        self.undecided.remove(under, over);
        self.beats.insert(over, under);
        if strength == Strength::Strict {
            self.succ.insert(over, under);
            self.pred.insert(under, over);
        }
    }
}

impl Decider {
    /// `orders[i]` are the vertices of log i in its order, `keys` breaks ties.
    pub(crate) fn new(orders: &[Vec<u32>], edge: u16, keys: &[Digest]) -> Self {
        let mut by_key: Vec<u32> = (0..keys.len() as u32).collect();
        by_key.sort_unstable_by_key(|vertex| keys[*vertex as usize]);
        let mut ranks = vec![0; keys.len()];
        for (rank, vertex) in by_key.into_iter().enumerate() {
            ranks[vertex as usize] = rank as u32;
        }
        Self { columns: Columns::new(keys.len(), orders), edge, ranks }
    }

    fn word(&self, vertex: usize, word: usize, weights: &Weights) -> Word {
        let edge = self.edge as i16;
        let forward = lanes(weights, |forward, _| forward >= edge);
        let backward = lanes(weights, |_, backward| backward >= edge);
        let contested = forward & backward;
        let mut beats = forward & !backward;
        if contested != 0 {
            beats |= contested & lanes(weights, |forward, backward| forward > backward);
            let equal = lanes(weights, |forward, backward| forward == backward);
            for bit in BitsOf(contested & equal) {
                let other = word * LANES + bit;
                // Padding lanes have no rank; their bits are masked by the caller.
                if self.ranks.get(other).is_some_and(|rank| self.ranks[vertex] < *rank) {
                    beats |= 1 << bit;
                }
            }
        }
        Word {
            beats,
            succ: forward & !backward,
            pred: backward & !forward,
            decided: forward | backward,
        }
    }
}

/// Bits, three at a time, least significant first.
#[derive(Default)]
struct PairBits {
    bytes: Vec<u8>,
    used: usize,
}

impl PairBits {
    fn push(&mut self, bits: [bool; 3]) {
        for bit in bits {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if bit && let Some(last) = self.bytes.last_mut() {
                *last |= 1 << (self.used % 8);
            }
            self.used += 1;
        }
    }
}

/// Strongly connected components of the strict graph on `among`, in no particular order.
///
/// Kosaraju's algorithm on bit rows: Θ(k²/64), whatever the number of edges.
pub(crate) fn components(graph: &Graph, among: &Bits) -> Vec<Vec<usize>> {
    let mut finished = Vec::with_capacity(among.count());
    let mut unvisited = among.clone();
    for root in among.iter() {
        if unvisited.contains(root) {
            unvisited.remove(root);
            finish_from(graph, root, &mut unvisited, &mut finished);
        }
    }
    let mut left = among.clone();
    let mut found = Vec::new();
    for root in finished.into_iter().rev() {
        if !left.contains(root) {
            continue;
        }
        left.remove(root);
        let mut component = vec![root];
        let mut next = 0;
        while next < component.len() {
            let mut before = Bits::empty(graph.size());
            before.union(graph.pred(component[next]));
            before.intersect(left.words());
            component.extend(before.iter());
            left.subtract(before.words());
            next += 1;
        }
        found.push(component);
    }
    found
}

/// Depth-first search over strict edges; vertices are pushed when all behind them is finished.
fn finish_from(graph: &Graph, root: usize, unvisited: &mut Bits, finished: &mut Vec<usize>) {
    let mut path = vec![(root, 0)];
    while let Some((vertex, word)) = path.last_mut() {
        let row = graph.succ(*vertex);
        while *word < row.len() && row[*word] & unvisited.words()[*word] == 0 {
            *word += 1;
        }
        if *word == row.len() {
            finished.push(*vertex);
            path.pop();
            continue;
        }
        let open = row[*word] & unvisited.words()[*word];
        let child = *word * LANES + open.trailing_zeros() as usize;
        unvisited.remove(child);
        path.push((child, 0));
    }
}

/// Whether a row has a member in a set.
pub(crate) fn meets(row: &[u64], set: &Bits) -> bool {
    row.iter().zip(set.words()).any(|(row, set)| row & set != 0)
}

/// The largest member of a row that is in a set.
pub(crate) fn last_common(row: &[u64], set: &Bits) -> Option<usize> {
    let words = row.iter().zip(set.words()).enumerate().rev();
    words
        .map(|(at, (row, set))| (at, row & set))
        .find(|(_, both)| *both != 0)
        .map(|(at, both)| at * LANES + 63 - both.leading_zeros() as usize)
}

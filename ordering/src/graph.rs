//! The tournament of a proposal and its strict edges, as bit rows.
//!
//! 1. For every ordered pair at most one of `succ` (strict a -> b), `pred` (strict b -> a) holds.
//! 2. `beats` is antisymmetric and agrees with `succ`; a pair is decided if one of them beats.
//! 3. `undecided` is symmetric, and disjoint from all others. Every pair is decided or undecided.
//! 4. A decided pair never changes.

use fairveil_crypto::Digest;

use crate::{
    bits::{Bits, BitsOf, Matrix, tail_mask},
    kernel::{Columns, LANES, Panel, Weights},
    rules::Cut,
    tree::first_bytes,
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

/// What the votes say about a vertex and the lanes of a panel.
#[derive(Clone, Copy, Default)]
struct Word {
    /// The vertex beats the lane.
    beats: u64,
    /// T votes for the vertex before the lane.
    forward: u64,
    /// T votes for the lane before the vertex.
    backward: u64,
}

impl Word {
    fn decided(&self) -> u64 {
        self.forward | self.backward
    }

    /// Lanes before which the vertex must stand.
    fn succ(&self) -> u64 {
        self.forward & !self.backward
    }

    /// Lanes that must stand before the vertex.
    fn pred(&self) -> u64 {
        self.backward & !self.forward
    }

    /// What every lane says of the vertex, where all say the same.
    fn mirrored(&self) -> Self {
        let beats = self.decided() & !self.beats;
        Self { beats, forward: self.backward, backward: self.forward }
    }
}

/// What 64 vertices say about the lanes of a panel, a word each.
type Block = [Word; LANES];

/// Bit i of word j as bit j of word i: halves are swapped, then halves of halves.
fn transposed(mut words: [u64; LANES]) -> [u64; LANES] {
    let (mut width, mut mask) = (LANES / 2, u64::MAX >> (LANES / 2));
    while width > 0 {
        for at in (0..LANES).filter(|at| at & width == 0) {
            let swapped = (words[at] >> width ^ words[at + width]) & mask;
            words[at] ^= swapped << width;
            words[at + width] ^= swapped;
        }
        width /= 2;
        mask ^= mask << width;
    }
    words
}

impl Graph {
    fn empty(size: usize) -> Self {
        let matrix = || Matrix::empty(size);
        Self { size, succ: matrix(), pred: matrix(), beats: matrix(), undecided: matrix() }
    }

    /// All pairs, decided where the votes suffice. Of two vertices in different words one is asked;
    /// what the other would say is its mirror image. Words that are decided at once are written row by
    /// row, the others over them.
    pub(crate) fn new(size: usize, decider: &Decider) -> Self {
        let mut graph = Self::empty(size);
        let mut panel = decider.columns.panel();
        let words = size.div_ceil(LANES);
        let at_once = decider.at_once(words);
        let at_once = |row: usize| &at_once[row * words..][..words];
        (0..words).for_each(|row| graph.put_at_once(row, at_once(row)));
        for word in 0..words {
            let lanes: Vec<usize> = (word * LANES..size.min((word + 1) * LANES)).collect();
            panel.fill(&lanes);
            for row in (word..words).filter(|row| at_once(*row)[word].is_none()) {
                let block = graph.block(row, &lanes, &panel, decider);
                for (vertex, said) in (row * LANES..size).zip(&block) {
                    graph.put(vertex, word, *said);
                }
                if row > word {
                    graph.mirror(&lanes, row, &block);
                }
            }
        }
        graph
    }

    /// The graph, and the vertices that reach one of `goals`. Only rows of those are computed, 64 at
    /// a time, as long as that is less than all: vertices to be cut cost one comparison with each kept
    /// one.
    pub(crate) fn reaching(size: usize, goals: &Bits, decider: &Decider, cut: Cut) -> (Self, Bits) {
        // By mirror images all rows cost half of their comparisons.
        let mut panels = size.div_ceil(LANES) / 2;
        let mut whole = goals.count() > size / 2;
        let mut graph = if whole { Self::new(size, decider) } else { Self::empty(size) };
        let mut kept = match cut {
            Cut::Strict => goals.clone(),
            #[cfg(test)]
            Cut::Tournament => goals.clone(),
            #[cfg(test)]
            Cut::Nothing => Bits::full(size),
        };
        let mut queue: Vec<usize> = kept.iter().collect();
        while !queue.is_empty() {
            let next = queue.split_off(queue.len().saturating_sub(LANES));
            if !whole && panels == 0 {
                (graph, whole) = (Self::new(size, decider), true);
            }
            if !whole {
                graph.fill_rows(&next, decider);
                panels -= 1;
            }
            for vertex in next {
                for word in 0..kept.words().len() {
                    let before = graph.before(vertex, word, cut);
                    for bit in BitsOf(before & !kept.words()[word]) {
                        kept.insert(word * LANES + bit);
                        queue.push(word * LANES + bit);
                    }
                }
            }
        }
        (graph, kept)
    }

    /// Vertices of a word that are kept with this one.
    fn before(&self, vertex: usize, word: usize, cut: Cut) -> u64 {
        match cut {
            Cut::Strict => self.pred.row(vertex)[word],
            #[cfg(test)]
            Cut::Tournament => {
                let beaten = self.beats.row(vertex)[word];
                let open = self.undecided.row(vertex)[word];
                self.valid(vertex, word) & !beaten & !open
            }
            #[cfg(test)]
            Cut::Nothing => 0,
        }
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
        let ripe: Vec<usize> = ripe.iter().collect();
        let mut panel = decider.columns.panel();
        for lanes in ripe.chunks(LANES) {
            panel.fill(lanes);
            let mut open = Bits::empty(self.size);
            lanes.iter().for_each(|lane| open.union(self.undecided.row(*lane)));
            for vertex in open.iter() {
                let said = decider.word(vertex, lanes, &panel.against(vertex));
                for lane in BitsOf(said.decided() & tail_mask(lanes.len())) {
                    let other = lanes[lane];
                    if !self.undecided.contains(vertex, other) {
                        continue;
                    }
                    let strict = (said.forward ^ said.backward) >> lane & 1 == 1;
                    let strength = if strict { Strength::Strict } else { Strength::Contested };
                    let won = said.beats >> lane & 1 == 1;
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

    /// Rows of these vertices, at most 64.
    fn fill_rows(&mut self, vertices: &[usize], decider: &Decider) {
        let mut panel = decider.columns.panel();
        panel.fill(vertices);
        for word in 0..self.size.div_ceil(LANES) {
            let block = self.block(word, vertices, &panel, decider);
            self.mirror(vertices, word, &block);
        }
    }

    /// What the vertices of a word say about the lanes of a panel.
    fn block(&self, word: usize, lanes: &[usize], panel: &Panel<'_>, decider: &Decider) -> Block {
        let mut block = [Word::default(); LANES];
        for (vertex, said) in (word * LANES..self.size).zip(&mut block) {
            *said = decider.word(vertex, lanes, &panel.against(vertex));
        }
        block
    }

    /// The row of a vertex in a word: what it says of the vertices there.
    fn put(&mut self, vertex: usize, word: usize, said: Word) {
        let valid = self.valid(vertex, word);
        self.beats.row_mut(vertex)[word] = said.beats & valid;
        self.succ.row_mut(vertex)[word] = said.succ() & valid;
        self.pred.row_mut(vertex)[word] = said.pred() & valid;
        self.undecided.row_mut(vertex)[word] = valid & !said.decided();
    }

    /// The rows of the vertices of a word where all of these say the same of all of another word;
    /// nothing where they do not.
    fn put_at_once(&mut self, row: usize, said: &[Option<Word>]) {
        let whole = |word: usize| {
            if word + 1 == said.len() { tail_mask(self.size) } else { u64::MAX }
        };
        let bits = |of: fn(&Word) -> u64| -> Vec<u64> {
            let words = said.iter().enumerate();
            words.map(|(word, said)| said.map_or(0, |said| of(&said) & whole(word))).collect()
        };
        let rows = [
            bits(|said| said.beats),
            bits(Word::succ),
            bits(Word::pred),
            bits(|said| !said.decided()),
        ];
        for vertex in row * LANES..self.size.min((row + 1) * LANES) {
            self.beats.row_mut(vertex).copy_from_slice(&rows[0]);
            self.succ.row_mut(vertex).copy_from_slice(&rows[1]);
            self.pred.row_mut(vertex).copy_from_slice(&rows[2]);
            self.undecided.row_mut(vertex).copy_from_slice(&rows[3]);
        }
    }

    /// The rows of the lanes against the vertices of a word, from what these say.
    fn mirror(&mut self, lanes: &[usize], word: usize, block: &Block) {
        let turned = |bits: fn(&Word) -> u64| transposed(block.each_ref().map(bits));
        let beaten = turned(|said| said.decided() & !said.beats);
        let (behind, ahead) = (turned(|said| said.forward), turned(|said| said.backward));
        for (lane, vertex) in lanes.iter().enumerate() {
            let (forward, backward) = (ahead[lane], behind[lane]);
            self.put(*vertex, word, Word { beats: beaten[lane], forward, backward });
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
        let firsts = keys.iter().map(|key| first_bytes(key.as_bytes()));
        let mut by_key: Vec<(u64, u32)> = firsts.zip(0..).collect();
        let key = |vertex: u32| &keys[vertex as usize];
        by_key.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        let mut ranks = vec![0; keys.len()];
        for (rank, (_, vertex)) in by_key.into_iter().enumerate() {
            ranks[vertex as usize] = rank as u32;
        }
        Self { columns: Columns::new(keys.len(), orders), edge, ranks }
    }

    /// By word, by other word: what every vertex of the one says of every vertex of the other, if all say
    /// the same and no tie is to be broken.
    fn at_once(&self, words: usize) -> Vec<Option<Word>> {
        let mut said = vec![None; words * words];
        for (row, word) in (0..words).flat_map(|row| (0..row).map(move |word| (row, word))) {
            let of = self.word_at_once(row, word);
            said[row * words + word] = of;
            said[word * words + row] = of.map(|of| of.mirrored());
        }
        said
    }

    fn word_at_once(&self, row: usize, word: usize) -> Option<Word> {
        let (forward, backward) = self.columns.between(row, word)?;
        let enough = [forward >= self.edge, backward >= self.edge];
        let beats = match enough {
            [true, true] if forward == backward => return None,
            [true, true] => forward > backward,
            [ahead, _] => ahead,
        };
        let all = |yes: bool| if yes { u64::MAX } else { 0 };
        Some(Word { beats: all(beats), forward: all(enough[0]), backward: all(enough[1]) })
    }

    /// What these weights of a vertex and a panel say; bits of no lane, and of the vertex itself, mean
    /// nothing.
    fn word(&self, vertex: usize, lanes: &[usize], weights: &Weights) -> Word {
        let [forward, backward] = weights.at_least(self.edge);
        let contested = forward & backward;
        let mut beats = forward & !backward;
        if contested != 0 {
            let (more, equal) = weights.compared();
            beats |= contested & more;
            for lane in BitsOf(contested & equal) {
                let behind =
                    lanes.get(lane).is_some_and(|lane| self.ranks[vertex] < self.ranks[*lane]);
                beats |= u64::from(behind) << lane;
            }
        }
        Word { beats, forward, backward }
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

#[cfg(test)]
mod tests;

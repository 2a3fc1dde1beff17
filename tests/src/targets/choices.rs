//! The bytes of an input as a sequence of choices: what drives the state machines.

/// What is left of an input. At its end every choice is 0.
#[derive(Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// The next two bytes, big-endian.
    pub(crate) fn number(&mut self) -> u64 {
        u64::from(self.byte()) << 8 | u64::from(self.byte())
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// One of some items, of which there is at least one.
    pub(crate) fn pick<'b, T>(&mut self, items: &'b [T]) -> &'b T {
        &items[self.below(items.len())]
    }

    /// Zero to three of some items.
    pub(crate) fn some<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        (0..self.below(4)).map(|_| self.pick(items).clone()).collect()
    }

    /// As many bytes as the next byte says, as far as they are there.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    /// Some bytes with up to three of them changed.
    pub(crate) fn changed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        for _ in 0..1 + self.below(3) {
            let (at, mask) = (self.number() as usize, self.byte());
            if let Some(byte) = changed.get_mut(at % bytes.len().max(1)) {
                *byte ^= mask;
            }
        }
        changed
    }
}

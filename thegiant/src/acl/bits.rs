//! A set of commands.

/// A set of commands, as one bit for each number of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits(Box<[u64]>);

const WORD: usize = u64::BITS as usize;

impl Bits {
    /// Returns a set of none or all of this many commands.
    pub(super) fn new(commands: usize, has: bool) -> Self {
        let mut bits = Bits(vec![0; commands.div_ceil(WORD)].into());
        bits.set_all(commands, has);
        bits
    }

    #[inline]
    pub(super) fn has(&self, command: usize) -> bool {
        self.0.get(command / WORD).is_some_and(|word| word >> (command % WORD) & 1 == 1)
    }

    pub(super) fn set(&mut self, command: usize, has: bool) {
        if let Some(word) = self.0.get_mut(command / WORD) {
            let bit = 1 << (command % WORD);
            *word = if has { *word | bit } else { *word & !bit };
        }
    }

    /// Sets the bits of the first `commands`.
    pub(super) fn set_all(&mut self, commands: usize, has: bool) {
        (0..commands).for_each(|command| self.set(command, has));
    }
}

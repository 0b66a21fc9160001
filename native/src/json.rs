//! Just enough of JSON (RFC 8259) to read plain values and to pass over others.

/// Deeper nesting is left to the Python path.
const MAX_DEPTH: usize = 16;

/// Times a byte: that byte eight times.
const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * EACH;
const QUOTES: u64 = b'"' as u64 * EACH;
const BACKSLASHES: u64 = b'\\' as u64 * EACH;

/// The high bit of every byte that is zero, and perhaps of bytes above such a one (Hacker's Delight, 6-1).
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(EACH) & !word & HIGH
}

/// The high bit of every byte below 0x20, and perhaps of bytes above such a one.
#[inline]
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(0x20 * EACH) & !word & HIGH
}

/// A position in a text. Methods answer None where the text is not plain; the position is then of no use.
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// The next byte.
    pub at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte, if there is one.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next eight bytes, the first one lowest, if there are so many.
    #[inline]
    pub fn eight(&self) -> Option<u64> {
        let eight = self.bytes.get(self.at..self.at + 8)?;
        Some(u64::from_le_bytes(eight.try_into().expect("eight bytes")))
    }

    /// What was read since a position.
    pub fn since(&self, begin: usize) -> &'a [u8] {
        &self.bytes[begin..self.at]
    }

    /// Whether everything was read.
    pub fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Pass a byte if it is the next one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Pass these bytes if they are the next ones.
    #[inline]
    pub fn take_all(&mut self, bytes: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(bytes);
        self.at += if found { bytes.len() } else { 0 };
        found
    }

    /// Pass white space.
    #[inline]
    pub fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Pass white space and then a byte, which must come.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        self.take(byte).then_some(())
    }

    /// Pass a word, which must come.
    pub fn word(&mut self, word: &[u8]) -> Option<()> {
        self.take_all(word).then_some(())
    }

    /// Pass `null` if it comes.
    #[inline]
    pub fn null(&mut self) -> Option<bool> {
        if self.peek() == Some(b'n') {
            self.word(b"null").map(|()| true)
        } else {
            Some(false)
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self) -> Option<bool> {
        if self.peek() == Some(b't') {
            self.word(b"true").map(|()| true)
        } else {
            self.word(b"false").map(|()| false)
        }
    }

    /// A string without escapes or control characters, valid UTF-8: its bytes, and its length in characters.
    #[inline]
    pub fn string(&mut self) -> Option<(&'a [u8], usize)> {
        if !self.take(b'"') {
            return None;
        }
        let begin = self.at;
        let mut high = 0;
        // Eight bytes at a time, up to the first that ends the string or must not be in it.
        while let Some(word) = self.eight() {
            let stops = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES) | below_space(word);
            if stops != 0 {
                let until = stops.trailing_zeros() & !7;
                high |= word & HIGH & ((1 << until) - 1);
                self.at += until as usize / 8;
                break;
            }
            high |= word & HIGH;
            self.at += 8;
        }
        let mut ascii = high == 0;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' | 0..=0x1f => return None,
                byte => ascii &= byte < 0x80,
            }
            self.at += 1;
        }
        let text = self.since(begin);
        self.at += 1;
        let chars = if ascii { text.len() } else { std::str::from_utf8(text).ok()?.chars().count() };
        Some((text, chars))
    }

    /// Pass any plain value.
    pub fn skip(&mut self) -> Option<()> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' if depth < MAX_DEPTH => self.skip_members(depth, b'}', true),
            b'[' if depth < MAX_DEPTH => self.skip_members(depth, b']', false),
            b't' | b'f' => self.boolean().map(|_| ()),
            b'n' => self.word(b"null"),
            b'-' => {
                self.at += 1;
                self.float().map(|_| ())
            }
            _ => self.float().map(|_| ()),
        }
    }

    fn skip_members(&mut self, depth: usize, close: u8, named: bool) -> Option<()> {
        self.at += 1;
        self.space();
        if self.take(close) {
            return Some(());
        }
        loop {
            self.space();
            if named {
                self.string()?;
                self.expect(b':')?;
                self.space();
            }
            self.skip_nested(depth + 1)?;
            self.space();
            if self.take(close) {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }
}

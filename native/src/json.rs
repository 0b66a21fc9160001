//! Just enough of JSON (RFC 8259) to read plain values and to pass over others.

/// Deeper nesting is left to the Python path.
const MAX_DEPTH: usize = 16;

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
        let found = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(())
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
        let mut ascii = true;
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

//! JSON numbers >= 0 in plain notation.

use crate::json::Reader;

/// More digits than this may not fit 64 bits.
const MAX_INTEGER_DIGITS: usize = 18;
const MAX_EXACT_MANTISSA: u64 = 1 << 53;
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

impl Reader<'_> {
    fn digits(&mut self, value: &mut u64) -> usize {
        let begin = self.at;
        while let Some(digit) = self.peek().map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        self.at - begin
    }

    /// Digits without a leading zero; how many.
    fn whole(&mut self, value: &mut u64) -> Option<usize> {
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits(value);
        (digits > 0 && (digits == 1 || !leading_zero)).then_some(digits)
    }

    /// An integer >= 0 that fits 64 bits, or None. With a point and zeros behind it, it is one as far as doubles are exact.
    pub fn integer(&mut self) -> Option<i64> {
        let mut value = 0;
        let digits = self.whole(&mut value)?;
        let mut plain = digits <= MAX_INTEGER_DIGITS;
        if self.take(b'.') {
            let mut fraction = 0;
            let zeros = self.digits(&mut fraction);
            plain &= (1..=MAX_INTEGER_DIGITS).contains(&zeros) && fraction == 0 && value <= MAX_EXACT_MANTISSA;
        }
        (plain && !matches!(self.peek(), Some(b'e' | b'E'))).then_some(value as i64)
    }

    /// A finite number >= 0, correctly rounded, or None.
    pub fn float(&mut self) -> Option<f64> {
        let begin = self.at;
        let mut mantissa = 0;
        let mut digits = self.whole(&mut mantissa)?;
        let mut scale = 0;
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            scale = self.digits(&mut mantissa);
            digits += scale;
            if scale == 0 {
                return None;
            }
        }
        let mut exponent = false;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            exponent = true;
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits(&mut 0) == 0 {
                return None;
            }
        }
        if integer && !exponent && digits > MAX_INTEGER_DIGITS {
            return None;
        }
        // Clinger's fast path: both are exact, so the quotient is correctly rounded.
        if !exponent && digits <= MAX_INTEGER_DIGITS && mantissa <= MAX_EXACT_MANTISSA && scale < EXACT_POWERS.len() {
            return Some(mantissa as f64 / EXACT_POWERS[scale]);
        }
        let text = std::str::from_utf8(self.since(begin)).ok()?;
        text.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Reader;

    fn float(text: &str) -> Option<f64> {
        let mut reader = Reader::new(text.as_bytes());
        reader.float().filter(|_| reader.at_end())
    }

    fn integer(text: &str) -> Option<i64> {
        let mut reader = Reader::new(text.as_bytes());
        reader.integer().filter(|_| reader.at_end())
    }

    #[test]
    fn floats_are_those_of_the_standard_library() {
        for text in [
            "0",
            "0.1",
            "12.345",
            "9007199254740993.5",
            "1e-7",
            "4.9e-324",
            "1.7976931348623157e308",
            "123456789012345678",
        ] {
            assert_eq!(float(text), text.parse().ok(), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_refused() {
        for text in
            ["", "-1", "+1", "01", "1.", ".5", "1e", "1e+", "1e400", "NaN", "Infinity", "1_0", "1234567890123456789"]
        {
            assert_eq!(float(text), None, "{text}");
        }
        for text in [
            "",
            "-1",
            "01",
            "1.",
            "1.5",
            "1.00001",
            "1.0e1",
            "1e3",
            "1234567890123456789",
            "9007199254740993.0",
            "1.0000000000000000000",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn integers_may_have_a_point_and_zeros() {
        for (text, value) in [
            ("0", 0),
            ("999999999999999999", 999_999_999_999_999_999),
            ("1048576.0", 1_048_576),
            ("0.00", 0),
            ("9007199254740992.0", 9_007_199_254_740_992),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
    }
}

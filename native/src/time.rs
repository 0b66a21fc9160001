//! RFC 3339 timestamps.

/// Days from 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// Epoch milliseconds, rounded down, of `yyyy-mm-ddThh:mm:ss[.fraction](Z|+hh:mm|-hh:mm)` from 1970 on; None if it is not that.
pub fn epoch_ms(text: &[u8]) -> Option<i64> {
    let (date, rest) = (text.get(..19)?, &text[19..]);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| date[*at] != *mark) {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..10])?);
    let (hour, minute, second) = (number(&date[11..13])?, number(&date[14..16])?, number(&date[17..])?);
    let in_range =
        (1970..=9998).contains(&year) && (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digits = match rest.first()? {
        b'.' => rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = if rest[0] == b'.' { &rest[1 + digits..] } else { rest };
    if rest[0] == b'.' && digits == 0 {
        return None;
    }
    let kept = digits.min(3);
    let millis = number(rest.get(1..1 + kept).unwrap_or_default())? * [0, 100, 10, 1][kept];
    let offset_minutes = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = (days(year, month, day) * 24 + hour) * 3600 + (minute - offset_minutes) * 60 + second;
    (seconds >= 0).then_some(seconds * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::epoch_ms;

    #[test]
    fn moments() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-02-29T12:00:00.5Z", 1_709_208_000_500),
            ("2023-11-14T22:13:20.1239+00:00", 1_700_000_000_123),
            ("2023-11-15T03:43:20+05:30", 1_700_000_000_000),
            ("2023-11-14T17:13:20-05:00", 1_700_000_000_000),
        ] {
            assert_eq!(epoch_ms(text.as_bytes()), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14T22:13:20.Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:13:60Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2023-11-14T22:13:20+5:30",
            "2023-11-14T22:13:20+24:00",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13:20ZZ",
            "0000-00-00T00:00:00Z",
            "2023-11-14T22:13:20.",
            "2023-11-14T22:13:20.1",
        ] {
            assert_eq!(epoch_ms(text.as_bytes()), None, "{text}");
        }
    }
}

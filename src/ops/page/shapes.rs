//! What is drawn: lines of rates and bars of time, as SVG with numbers in attributes.

use jiff::Timestamp;

/// The width and the height of a line of rates.
const SPARK: (f64, f64) = (76.0, 20.0);

/// A gap is drawn at least this wide, in percent: a few seconds of a day are to be seen.
const GAP_WIDTH_MIN: f64 = 1.9;

/// The path of a line of rates: the oldest point left.
pub(super) fn spark(points: &[f64], now: f64) -> String {
    let points: Vec<f64> = points.iter().copied().chain([now]).collect();
    let most = points.iter().copied().fold(0.0, f64::max);
    let (width, height) = SPARK;
    let step = width / (points.len().max(2) - 1) as f64;
    let y = |rate: f64| match most > 0.0 {
        true => height - 2.0 - (height - 4.0) * (rate / most),
        false => height - 2.0,
    };
    let mut path = String::new();
    for (at, rate) in points.iter().enumerate() {
        let letter = if at == 0 { 'M' } else { 'L' };
        path.push_str(&format!("{letter}{:.1} {:.1} ", at as f64 * step, y(*rate)));
    }
    if points.len() == 1 {
        path.push_str(&format!("L{width:.1} {:.1}", y(points[0])));
    }
    path.trim_end().to_owned()
}

/// A piece of a bar, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    pub(super) x: f64,
    pub(super) width: f64,
}

/// Where a time stands in a bar from `begin` to `end`.
pub(super) fn piece(
    since: Timestamp,
    until: Timestamp,
    (begin, end): (Timestamp, Timestamp),
) -> Piece {
    let whole = (end.as_millisecond() - begin.as_millisecond()).max(1) as f64;
    let place = |at: Timestamp| {
        let passed = (at.as_millisecond() - begin.as_millisecond()) as f64;
        (passed * 100.0 / whole).clamp(0.0, 100.0)
    };
    let (left, right) = (place(since), place(until));
    Piece {
        x: left,
        width: (right - left).max(0.0),
    }
}

/// The same for a gap, which is to be seen however short it is.
pub(super) fn gap(since: Timestamp, until: Timestamp, bar: (Timestamp, Timestamp)) -> Piece {
    let piece = piece(since, until, bar);
    let width = piece.width.max(GAP_WIDTH_MIN);
    Piece {
        x: piece.x.min(100.0 - width),
        width,
    }
}

/// The share of a count, in percent.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => (part as f64 * 100.0 / whole as f64).clamp(0.0, 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_rates_goes_from_left_to_right_within_its_box() {
        assert_eq!(spark(&[], 0.0), "M0.0 18.0 L76.0 18.0");
        assert_eq!(spark(&[1.0, 2.0], 0.0), "M0.0 10.0 L38.0 2.0 L76.0 18.0");
        assert!(!spark(&[f64::MAX, 1.0], 1.0).contains("inf"));
    }

    #[test]
    fn a_short_gap_is_seen_and_stays_within_the_bar() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let bar = (at(0), at(86_400));
        let wide = gap(at(0), at(43_200), bar);
        assert_eq!((wide.x, wide.width), (0.0, 50.0));
        let short = gap(at(86_396), at(86_400), bar);
        assert_eq!(short.width, GAP_WIDTH_MIN);
        assert!((short.x + short.width - 100.0).abs() < 1e-9);
        let before = piece(at(-5), at(86_500), bar);
        assert_eq!((before.x, before.width), (0.0, 100.0));
        assert_eq!([share(1, 0), share(1, 4), share(9, 4)], [0.0, 25.0, 100.0]);
    }
}

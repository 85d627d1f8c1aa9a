//! The map of the devices: hexagons by how many devices they have, and marks of trouble. No tiles
//! and no borders: nothing to load. The box is that of the data.

use std::fmt::Write as _;

use crate::ops::device_query::{CELL, Cell, Sum};

/// So much room the name of a meridian takes beside it.
const LABEL_WIDTH: f64 = 40.0;

/// Units of the picture in a degree of latitude.
const SCALE: f64 = 20.0;

/// A degree of longitude in degrees of latitude.
const ASPECT: f64 = 0.82;

/// The half of a hexagon's height: rows overlap by a quarter.
const RADIUS: f64 = CELL.1 / 1.5 * SCALE;

/// Around the data.
const MARGIN: f64 = 40.0;

/// The least width and height: a few devices in one town make no giants.
const SIDE_MIN: f64 = 400.0;

/// From so many devices on a cell has the next colour.
const STEPS: [u64; 3] = [4, 18, 60];

/// Columns of one character of a name on the map.
const CHARACTER: f64 = 12.0;

/// What is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Map {
    pub(super) view_box: String,
    /// The lines of the graticule: x1, y1, x2, y2.
    pub(super) lines: Vec<[String; 4]>,
    /// Texts: x, y, what.
    pub(super) texts: Vec<(String, String, String)>,
    /// The hexagons of each colour, as one path.
    pub(super) hexagons: Vec<(&'static str, String)>,
    /// Marks of trouble: their kind, and their path.
    pub(super) marks: Vec<(&'static str, String)>,
    /// Names of provinces: x, y, the name as it is, and short.
    pub(super) names: Vec<(String, String, String, String)>,
    /// Devices on it.
    pub(super) devices: u64,
}

/// The middle of a cell.
fn middle(cell: &Cell) -> (f64, f64) {
    let shift = if cell.row.rem_euclid(2) == 1 {
        0.5
    } else {
        0.0
    };
    place(
        (cell.column as f64 + shift) * CELL.0,
        cell.row as f64 * CELL.1,
    )
}

/// Where a longitude and a latitude are.
fn place(longitude: f64, latitude: f64) -> (f64, f64) {
    (longitude * ASPECT * SCALE, -latitude * SCALE)
}

impl Map {
    /// The map of these cells; `None`: there are none.
    pub(super) fn of(cells: &[Cell], provinces: &[Sum]) -> Option<Map> {
        let middles = || cells.iter().map(middle);
        let (left, right) = bounds(middles().map(|(x, _)| x))?;
        let (top, bottom) = bounds(middles().map(|(_, y)| y))?;
        let (left, right) = widened(left, right);
        let (top, bottom) = widened(top, bottom);
        let mut map = Map {
            view_box: format!("{left:.0} {top:.0} {:.0} {:.0}", right - left, bottom - top),
            devices: cells.iter().map(|cell| cell.devices).sum(),
            ..Map::default()
        };
        map.graticule((left, top, right, bottom));
        map.hexagons = hexagons(cells);
        map.marks = marks(cells);
        map.names = names(provinces, cells, (left, top, right, bottom));
        Some(map)
    }

    fn graticule(&mut self, (left, top, right, bottom): (f64, f64, f64, f64)) {
        let tens = |from: f64, to: f64| {
            let (from, to) = ((from / 10.0).ceil() as i64, (to / 10.0).floor() as i64);
            (from..=to).map(|ten| ten * 10)
        };
        let line =
            |x1: f64, y1: f64, x2: f64, y2: f64| [x1, y1, x2, y2].map(|at| format!("{at:.0}"));
        for degree in tens(left / ASPECT / SCALE, right / ASPECT / SCALE) {
            let (x, _) = place(degree as f64, 0.0);
            self.lines.push(line(x, top, x, bottom));
            if x + LABEL_WIDTH > right {
                continue;
            }
            self.texts.push((
                format!("{:.0}", x + 4.0),
                format!("{:.0}", top + 14.0),
                format!("{degree}°"),
            ));
        }
        for degree in tens(-bottom / SCALE, -top / SCALE) {
            let (_, y) = place(0.0, degree as f64);
            self.lines.push(line(left, y, right, y));
            self.texts.push((
                format!("{:.0}", left + 4.0),
                format!("{:.0}", y - 4.0),
                format!("{degree}°"),
            ));
        }
    }
}

fn bounds(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let low = values.clone().reduce(f64::min)?;
    Some((low, values.reduce(f64::max)?))
}

/// With a margin, and as wide as a map is at least.
fn widened(low: f64, high: f64) -> (f64, f64) {
    let missing = (SIDE_MIN - (high - low)).max(0.0) / 2.0;
    let more = missing.max(MARGIN);
    (low - more, high + more)
}

fn hexagons(cells: &[Cell]) -> Vec<(&'static str, String)> {
    let mut paths: [(&'static str, String); 4] =
        ["a", "b", "c", "d"].map(|class| (class, String::new()));
    for cell in cells {
        let colour = STEPS.iter().filter(|step| cell.devices >= **step).count();
        let (x, y) = middle(cell);
        let half = CELL.0 * ASPECT * SCALE / 2.0 - 0.6;
        let (high, low) = (RADIUS - 0.6, RADIUS / 2.0);
        let _ = write!(
            paths[colour].1,
            "M{x:.1} {:.1}l{half:.1} {low:.1}v{high:.1}l-{half:.1} {low:.1}l-{half:.1} -{low:.1}v-{high:.1}z",
            y - high
        );
    }
    paths
        .into_iter()
        .filter(|(_, path)| !path.is_empty())
        .collect()
}

/// How large a cell's mark is: whether that of critical devices, and its side. By the root of the
/// count. A single device that is offline has none: there is always one.
fn mark(cell: &Cell) -> Option<(bool, f64)> {
    match (cell.critical, cell.warning) {
        (0, 0 | 1) => None,
        (0, warning) => Some((false, 6.0 + 2.5 * (warning as f64).sqrt())),
        (critical, _) => Some((true, 5.0 + 2.5 * (critical as f64).sqrt())),
    }
}

/// Squares of critical devices and triangles of those that are offline.
fn marks(cells: &[Cell]) -> Vec<(&'static str, String)> {
    let (mut squares, mut triangles) = (String::new(), String::new());
    for cell in cells {
        let (x, y) = middle(cell);
        let Some((is_critical, side)) = mark(cell) else {
            continue;
        };
        let half = side / 2.0;
        if is_critical {
            let _ = write!(
                squares,
                "M{:.1} {:.1}h{side:.1}v{side:.1}h-{side:.1}z",
                x - half,
                y - half
            );
        } else {
            let _ = write!(
                triangles,
                "M{x:.1} {:.1}l{half:.1} {side:.1}h-{side:.1}z",
                y - half
            );
        }
    }
    let marks = [("f-warn", triangles), ("f-crit", squares)];
    marks
        .into_iter()
        .filter(|(_, path)| !path.is_empty())
        .collect()
}

/// The names of provinces at the mean of their devices, by count; one that would overlap another is
/// dropped. Each stands where it covers no mark, if there is such a place near by.
fn names(
    provinces: &[Sum],
    cells: &[Cell],
    (left, top, right, bottom): (f64, f64, f64, f64),
) -> Vec<(String, String, String, String)> {
    let mut by_count: Vec<&Sum> = provinces.iter().collect();
    by_count.sort_by_key(|province| std::cmp::Reverse(province.devices));
    let marks = cells
        .iter()
        .filter_map(|cell| Some((middle(cell), mark(cell)?.1)));
    let marks: Vec<((f64, f64), f64)> = marks.collect();
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    let mut names = Vec::new();
    for province in by_count {
        let Some((longitude, latitude)) = province.middle else {
            continue;
        };
        let (x, y) = place(longitude, latitude);
        let short = short(&province.name);
        let half = short.chars().count() as f64 * CHARACTER / 2.0;
        let covers = |y: f64| {
            marks.iter().any(|((mark_x, mark_y), side)| {
                (x - mark_x).abs() < half + side / 2.0
                    && (y - mark_y).abs() < (CHARACTER + side) / 2.0
            })
        };
        // Above the cell there, or below it.
        let places = [-1.0, 1.0, -1.5, 1.5, -2.0, 2.0].map(|radii| y + radii * RADIUS);
        let free = places.into_iter().find(|y| !covers(*y));
        let y = free.unwrap_or(places[0]);
        let is_within = x - half > left && x + half < right && y > top && y < bottom;
        let is_free = taken.iter().all(|(other_x, other_y, other_half)| {
            (x - other_x).abs() > half + other_half || (y - other_y).abs() > CHARACTER + 2.0
        });
        if is_within && is_free {
            taken.push((x, y, half));
            names.push((
                format!("{x:.0}"),
                format!("{:.0}", y + 4.0),
                province.name.clone(),
                short.to_owned(),
            ));
        }
    }
    names
}

/// A province without the word for what it is.
fn short(name: &str) -> &str {
    const ENDS: [&str; 7] = [
        "特别行政区",
        "壮族自治区",
        "回族自治区",
        "维吾尔自治区",
        "自治区",
        "省",
        "市",
    ];
    let short = ENDS.iter().find_map(|end| name.strip_suffix(end));
    short.filter(|short| !short.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(row: i64, column: i64, devices: u64, critical: u64) -> Cell {
        Cell {
            row,
            column,
            devices,
            critical,
            warning: 0,
        }
    }

    #[test]
    fn the_box_is_that_of_the_data_and_each_cell_has_its_colour() {
        assert_eq!(Map::of(&[], &[]), None);
        let cells = [cell(29, 75, 3, 0), cell(30, 75, 4, 2), cell(31, 74, 60, 0)];
        let map = Map::of(&cells, &[]).unwrap();
        assert_eq!(map.devices, 67);
        let classes: Vec<&str> = map.hexagons.iter().map(|(class, _)| *class).collect();
        assert_eq!(classes, ["a", "b", "d"]);
        assert_eq!(map.marks.len(), 1);
        let numbers: Vec<f64> = map
            .view_box
            .split(' ')
            .map(|it| it.parse().unwrap())
            .collect();
        let (x, y) = middle(&cells[1]);
        assert!(
            x > numbers[0] && x < numbers[0] + numbers[2],
            "{numbers:?} {x}"
        );
        assert!(
            y > numbers[1] && y < numbers[1] + numbers[3],
            "{numbers:?} {y}"
        );
    }

    #[test]
    fn a_name_covers_no_mark() {
        let cells = [cell(29, 75, 3, 0), cell(30, 75, 4, 2)];
        let (x, y) = middle(&cells[0]);
        let province = Sum {
            name: "江苏省".to_owned(),
            devices: 7,
            critical: 2,
            warning: 0,
            middle: Some((x / ASPECT / SCALE, -y / SCALE)),
        };
        let place = |cells: &[Cell]| -> f64 {
            let map = Map::of(cells, std::slice::from_ref(&province)).unwrap();
            map.names[0].1.parse().unwrap()
        };
        assert!(place(&cells[..1]) < y, "above, where nothing is");
        assert!(place(&cells) > y, "the mark is above");
        // Marks all around: it keeps its place.
        let around: Vec<Cell> = (25..35)
            .flat_map(|row| (73..78).map(move |column| cell(row, column, 9, 900)))
            .collect();
        assert!(place(&around) < y);
    }

    #[test]
    fn names_that_would_overlap_are_dropped_by_count() {
        let sum = |name: &str, devices, longitude| Sum {
            name: name.to_owned(),
            devices,
            critical: 0,
            warning: 0,
            middle: Some((longitude, 33.0)),
        };
        let provinces = [
            sum("安徽省", 5, 119.9),
            sum("江苏省", 9, 120.0),
            sum("内蒙古自治区", 1, 112.0),
        ];
        let cells = [cell(29, 75, 1, 0), cell(29, 68, 1, 0)];
        let map = Map::of(&cells, &provinces).unwrap();
        let names: Vec<&str> = map.names.iter().map(|(.., short)| short.as_str()).collect();
        assert_eq!(names, ["江苏", "内蒙古"]);
        assert_eq!(short("市"), "市");
    }
}

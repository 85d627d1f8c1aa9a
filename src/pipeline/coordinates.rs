//! BD-09 and GCJ-02 to WGS-84, by an iterated inverse.
//!
//! GCJ-02 shifts a point inside China by up to 700 m, by a formula without a closed inverse. BD-09
//! shifts it further by a rotation and an offset. Both inverses iterate the forward formula until
//! the point that it gives is the one sent: the usual closed formulas are off by metres.

use std::cell::RefCell;
use std::f64::consts::PI;

use crate::model::Coordinates;

/// The ellipsoid of the formula (Krasovsky 1940): half of the long axis, in metres.
const AXIS_METRES: f64 = 6_378_245.0;
/// The same ellipsoid's eccentricity, squared.
const ECCENTRICITY_SQUARED: f64 = 0.006_693_421_622_965_943;
/// Baidu's own constant.
const BD_PI: f64 = PI * 3000.0 / 180.0;
/// Each step divides the error by about a hundred, from at most 1.5 km.
const STEPS_MAX: usize = 8;
/// About 1 cm: the step that finds the error to be so small takes it away, too.
const ERROR_DEGREES_MAX: f64 = 1e-7;

/// How a pair of degrees is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// What GPS gives.
    Wgs84,
    /// China's shifted one: Amap, Tencent.
    Gcj02,
    /// Baidu's: GCJ-02, shifted again.
    Bd09,
}

impl System {
    /// The system of that name; `None` for an unknown one.
    pub fn named(name: &str) -> Option<System> {
        let name: String = name
            .chars()
            .filter(|c| c.is_alphanumeric())
            .map(|c| c.to_ascii_lowercase())
            .collect();
        match name.as_str() {
            // CGCS2000 differs by centimetres.
            "wgs84" | "wgs84ll" | "gps" | "epsg4326" | "cgcs2000" | "epsg4490" => {
                Some(System::Wgs84)
            }
            "gcj02" | "gcj02ll" | "gcj" | "amap" | "gaode" | "autonavi" | "tencent" | "mars"
            | "高德" | "腾讯" | "火星" => Some(System::Gcj02),
            "bd09" | "bd09ll" | "baidu" | "百度" => Some(System::Bd09),
            _ => None,
        }
    }
}

/// Whether the pair is a point on the Earth.
pub fn is_on_earth(point: Coordinates) -> bool {
    point.longitude.abs() <= 180.0 && point.latitude.abs() <= 90.0
}

/// The same point in WGS-84, within 1 m; `None` for a pair that is no point on the Earth.
pub fn to_wgs84(point: Coordinates, system: System) -> Option<Coordinates> {
    is_on_earth(point).then(|| match system {
        System::Wgs84 => point,
        System::Gcj02 => remembered(point, system, |it| inverse(it, wgs84_to_gcj02)),
        System::Bd09 => remembered(point, system, |it| {
            inverse(inverse(it, gcj02_to_bd09), wgs84_to_gcj02)
        }),
    })
}

/// Points that are remembered in each thread: 40 bytes each, all of them from the first one on.
const KNOWN_MAX: usize = 4096;

/// A point, its system, and the same point in WGS-84.
type Known = Option<(Coordinates, System, Coordinates)>;

thread_local! {
    /// What was computed lately: most devices stand where they stood before, and some thirty sines
    /// take longer than the rest of a status' fields. Each point has one place here, which it may
    /// share.
    static KNOWN: RefCell<Vec<Known>> = RefCell::new(vec![None; KNOWN_MAX]);
}

fn remembered(
    point: Coordinates,
    system: System,
    compute: fn(Coordinates) -> Coordinates,
) -> Coordinates {
    KNOWN.with_borrow_mut(|known| {
        let place = &mut known[place_of(point)];
        if let Some((of, by, found)) = place
            && (*of, *by) == (point, system)
        {
            return *found;
        }
        let found = rounded(compute(point));
        *place = Some((point, system, found));
        found
    })
}

/// Neighbours differ in the last bits of their numbers.
fn place_of(point: Coordinates) -> usize {
    let bits = point.longitude.to_bits() ^ point.latitude.to_bits().rotate_left(32);
    let spread = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    spread as usize % KNOWN_MAX
}

/// To 8 places, about 1 mm: the same on every machine, whatever the last digit of its sine.
fn rounded(point: Coordinates) -> Coordinates {
    let round = |degrees: f64| (degrees * 1e8).round() / 1e8;
    Coordinates {
        longitude: round(point.longitude),
        latitude: round(point.latitude),
    }
}

/// The point that `forward` moves to `target`. The shift changes slowly, so the difference between
/// the reached and the wanted point is nearly the correction.
fn inverse(target: Coordinates, forward: fn(Coordinates) -> Coordinates) -> Coordinates {
    let mut point = target;
    for _ in 0..STEPS_MAX {
        let reached = forward(point);
        let (longitude, latitude) = (
            target.longitude - reached.longitude,
            target.latitude - reached.latitude,
        );
        point = Coordinates {
            longitude: point.longitude + longitude,
            latitude: point.latitude + latitude,
        };
        if longitude.abs() < ERROR_DEGREES_MAX && latitude.abs() < ERROR_DEGREES_MAX {
            break;
        }
    }
    point
}

/// The rectangle in which GCJ-02 shifts; outside it is WGS-84.
fn in_china(point: Coordinates) -> bool {
    (72.004..=137.8347).contains(&point.longitude) && (0.8293..=55.8271).contains(&point.latitude)
}

fn wgs84_to_gcj02(point: Coordinates) -> Coordinates {
    if !in_china(point) {
        return point;
    }
    let (x, y) = (point.longitude - 105.0, point.latitude - 35.0);
    let wave = (PI * x * 2.0).sin();
    let waves = (20.0 * thrice(wave) + 20.0 * wave) * 2.0 / 3.0;
    let (y_third, x_third) = ((y / 3.0 * PI).sin(), (x / 3.0 * PI).sin());
    let north = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + waves
        + (20.0 * thrice(y_third) + 40.0 * y_third) * 2.0 / 3.0
        + (160.0 * (y / 12.0 * PI).sin() + 320.0 * (y * PI / 30.0).sin()) * 2.0 / 3.0;
    let east = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + waves
        + (20.0 * thrice(x_third) + 40.0 * x_third) * 2.0 / 3.0
        + (150.0 * (x / 12.0 * PI).sin() + 300.0 * (x / 30.0 * PI).sin()) * 2.0 / 3.0;
    let (sine, cosine) = point.latitude.to_radians().sin_cos();
    let flattening = 1.0 - ECCENTRICITY_SQUARED * sine * sine;
    let metres_per_radian_north =
        AXIS_METRES * (1.0 - ECCENTRICITY_SQUARED) / (flattening * flattening.sqrt());
    let metres_per_radian_east = AXIS_METRES / flattening.sqrt() * cosine;
    Coordinates {
        longitude: point.longitude + (east / metres_per_radian_east).to_degrees(),
        latitude: point.latitude + (north / metres_per_radian_north).to_degrees(),
    }
}

/// The sine of three times an angle, from the angle's: the formula is mostly sines, and some are of
/// such pairs.
fn thrice(sine: f64) -> f64 {
    sine * (3.0 - 4.0 * sine * sine)
}

fn gcj02_to_bd09(point: Coordinates) -> Coordinates {
    let (x, y) = (point.longitude, point.latitude);
    let radius = x.hypot(y) + 0.000_02 * (y * BD_PI).sin();
    let angle = y.atan2(x) + 0.000_003 * (x * BD_PI).cos();
    Coordinates {
        longitude: radius * angle.cos() + 0.0065,
        latitude: radius * angle.sin() + 0.006,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(longitude: f64, latitude: f64) -> Coordinates {
        Coordinates {
            longitude,
            latitude,
        }
    }

    /// On a sphere: enough for a comparison of near points.
    fn metres(a: Coordinates, b: Coordinates) -> f64 {
        let east = (a.longitude - b.longitude) * a.latitude.to_radians().cos();
        east.hypot(a.latitude - b.latitude) * 111_320.0
    }

    #[test]
    fn forward_of_inverse_is_the_point_itself_all_over_china() {
        let mut points = 0;
        for longitude in (7350..13500).step_by(37) {
            for latitude in (350..5350).step_by(41) {
                let sent = at(f64::from(longitude) / 100.0, f64::from(latitude) / 100.0);
                let gcj = wgs84_to_gcj02(to_wgs84(sent, System::Gcj02).unwrap());
                assert!(
                    metres(sent, gcj) < 0.01,
                    "GCJ-02 {sent:?}: {} m",
                    metres(sent, gcj)
                );
                let bd = gcj02_to_bd09(wgs84_to_gcj02(to_wgs84(sent, System::Bd09).unwrap()));
                assert!(
                    metres(sent, bd) < 0.01,
                    "BD-09 {sent:?}: {} m",
                    metres(sent, bd)
                );
                points += 1;
            }
        }
        assert!(points > 10_000);
    }

    #[test]
    fn known_points_are_met_within_a_metre() {
        // From the tests of eviltransform (the first three) and of coordtransform.
        for (wgs84, gcj02) in [
            (
                at(121.5272106, 31.1774276),
                at(121.531541859215, 31.17530398364597),
            ),
            (
                at(113.912316, 22.543847),
                at(113.9171764808363, 22.540796131694766),
            ),
            (
                at(116.377817, 39.911954),
                at(116.38404722455657, 39.91334545536069),
            ),
            (
                at(116.404, 39.915),
                at(116.41024449916938, 39.91640428150164),
            ),
        ] {
            assert!(metres(wgs84_to_gcj02(wgs84), gcj02) < 0.05, "{wgs84:?}");
            assert!(
                metres(to_wgs84(gcj02, System::Gcj02).unwrap(), wgs84) < 0.05,
                "{gcj02:?}"
            );
        }
        let (gcj02, bd09) = (
            at(116.404, 39.915),
            at(116.41036949371029, 39.92133699351021),
        );
        assert!(metres(gcj02_to_bd09(gcj02), bd09) < 0.001);
        assert!(metres(inverse(bd09, gcj02_to_bd09), gcj02) < 0.001);
    }

    #[test]
    fn what_is_remembered_is_what_is_computed() {
        let at_place = |place| {
            (0..)
                .map(move |step| at(120.0 + f64::from(step) * 1e-5, 33.0))
                .filter(move |point| place_of(*point) == place)
        };
        let mut points: Vec<Coordinates> = at_place(7).take(2).collect();
        points.extend(at_place(8).take(1));
        for point in points.iter().chain(&points) {
            let gcj02 = inverse(*point, gcj02_to_bd09);
            for (system, unshifted) in [
                (System::Gcj02, *point),
                (System::Bd09, gcj02),
                (System::Bd09, gcj02),
            ] {
                let computed = rounded(inverse(unshifted, wgs84_to_gcj02));
                assert_eq!(to_wgs84(*point, system), Some(computed));
            }
        }
    }

    #[test]
    fn outside_china_gcj02_is_wgs84() {
        for point in [at(-74.0, 40.7), at(2.35, 48.85), at(151.2, -33.87)] {
            assert_eq!(to_wgs84(point, System::Gcj02), Some(point));
        }
    }

    #[test]
    fn what_is_no_point_on_the_earth_has_no_wgs84() {
        for point in [
            at(181.0, 0.0),
            at(0.0, -90.1),
            at(f64::NAN, 0.0),
            at(0.0, f64::INFINITY),
        ] {
            for system in [System::Wgs84, System::Gcj02, System::Bd09] {
                assert_eq!(to_wgs84(point, system), None, "{point:?}");
            }
        }
    }

    #[test]
    fn names_are_those_that_platforms_write() {
        for (name, expected) in [
            ("baidu", Some(System::Bd09)),
            ("BD-09", Some(System::Bd09)),
            ("gcj02", Some(System::Gcj02)),
            ("GCJ-02", Some(System::Gcj02)),
            ("WGS84", Some(System::Wgs84)),
            ("wgs-84", Some(System::Wgs84)),
            ("mercator", None),
            ("", None),
        ] {
            assert_eq!(System::named(name), expected, "{name}");
        }
    }
}

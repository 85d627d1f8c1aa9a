//! Where the fields of an event stand in a message.

use jiff::tz::{self, TimeZone};

use super::body::{Charset, TEXT_BYTES_MAX};
use super::{Ignore, Pointer};

/// A field of an event that is read from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The owner of the device.
    Client,
    /// The device.
    Device,
    /// Its serial number; stands in where there is no device.
    Serial,
    /// The state before.
    OldState,
    /// The state now.
    NewState,
    /// First administrative level.
    Province,
    /// Second administrative level.
    City,
    /// Third administrative level.
    District,
    /// The rest of the address.
    Detail,
    /// The system of longitude and latitude.
    CoordinateSystem,
    /// Degrees east.
    Longitude,
    /// Degrees north.
    Latitude,
    /// When it happened.
    OccurredAt,
}

impl Field {
    /// All of them, in the order of their declaration.
    pub const ALL: [Field; 13] = [
        Field::Client,
        Field::Device,
        Field::Serial,
        Field::OldState,
        Field::NewState,
        Field::Province,
        Field::City,
        Field::District,
        Field::Detail,
        Field::CoordinateSystem,
        Field::Longitude,
        Field::Latitude,
        Field::OccurredAt,
    ];

    /// The name in `topics.X.fields`.
    pub fn name(self) -> &'static str {
        match self {
            Field::Client => "client",
            Field::Device => "device",
            Field::Serial => "serial",
            Field::OldState => "old_state",
            Field::NewState => "new_state",
            Field::Province => "province",
            Field::City => "city",
            Field::District => "district",
            Field::Detail => "detail",
            Field::CoordinateSystem => "coordinate_system",
            Field::Longitude => "longitude",
            Field::Latitude => "latitude",
            Field::OccurredAt => "occurred_at",
        }
    }

    /// The documentation.
    pub fn about(self) -> &'static str {
        match self {
            Field::Client => "Whose the device is: the first part of 1/7.",
            Field::Device => "The device: the second part of 1/7.",
            Field::Serial => "Its serial number; it stands in where there is no `device`.",
            Field::OldState => "The state before, in the platform's words.",
            Field::NewState => "The state now, in the platform's words.",
            Field::Province => "The province.",
            Field::City => "The city.",
            Field::District => "The district.",
            Field::Detail => "The rest of the address.",
            Field::CoordinateSystem => {
                "The system of `longitude` and `latitude`; docs/columns.md names those that are \
                 turned into WGS 84."
            }
            Field::Longitude => "Degrees east.",
            Field::Latitude => "Degrees north.",
            Field::OccurredAt => {
                "When it happened, by the platform. By default none: the times of the reference \
                 platform's message are those of its address."
            }
        }
    }

    /// Where the platform's own message has it. It has no time of the status: its times are those
    /// at which the record of the address was made and changed.
    pub fn default_pointer(self) -> Option<&'static str> {
        match self {
            Field::Client => Some("/clientId"),
            Field::Device => Some("/deviceId"),
            Field::Serial => Some("/sn"),
            Field::OldState => Some("/oldState"),
            Field::NewState => Some("/newState"),
            Field::Province => Some("/address/province"),
            Field::City => Some("/address/city"),
            Field::District => Some("/address/district"),
            Field::Detail => Some("/address/detail"),
            // The platform's spelling.
            Field::CoordinateSystem => Some("/address/coordinateSysm"),
            Field::Longitude => Some("/address/longitude"),
            Field::Latitude => Some("/address/latitude"),
            Field::OccurredAt => None,
        }
    }
}

/// Where the fields of an event stand in a message. The default reads the platform's own message.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    fields: [Option<Pointer>; Field::ALL.len()],
    /// To the array of statuses, or the only one; `None`: the body is one status or an array of
    /// them.
    pub items: Option<Pointer>,
    /// What is no status among them: it is dropped.
    pub ignore: Option<Ignore>,
    /// The event key, relative to one status; empty: none.
    pub event_key: Vec<Pointer>,
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// How bodies are written whose messages do not say it; `None`: in UTF-8.
    pub charset: Option<Charset>,
    /// Bytes of a body's text, once its compression and its charset are undone.
    pub text_bytes_max: usize,
}

impl Default for Mapping {
    fn default() -> Mapping {
        let default = |field: Field| {
            field.default_pointer().map(|text| {
                text.parse()
                    .expect("the default pointers are valid, as a test shows")
            })
        };
        Mapping {
            fields: Field::ALL.map(default),
            items: None,
            ignore: None,
            event_key: Vec::new(),
            zone: default_zone(),
            charset: None,
            text_bytes_max: TEXT_BYTES_MAX,
        }
    }
}

impl Mapping {
    /// Reads `field` at `pointer`; `None`: the message does not have it.
    pub fn set(&mut self, field: Field, pointer: Option<Pointer>) {
        self.fields[field as usize] = pointer;
    }

    /// Where `field` is read.
    pub fn pointer(&self, field: Field) -> Option<&Pointer> {
        self.fields[field as usize].as_ref()
    }
}

/// The name of the zone of platforms that name none.
pub const ZONE_DEFAULT: &str = "Asia/Shanghai";

/// That zone, also on a machine without a time zone database: China has kept one offset since 1991.
fn default_zone() -> TimeZone {
    TimeZone::get(ZONE_DEFAULT).unwrap_or_else(|_| tz::offset(8).to_time_zone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_own_place_and_the_platforms_pointer() {
        let mapping = Mapping::default();
        for field in Field::ALL {
            assert_eq!(
                mapping.pointer(field).map(Pointer::as_str),
                field.default_pointer(),
                "{}",
                field.name()
            );
        }
    }
}

//! Where the values of a status stand in a platform's messages: by the names that platforms use.

use serde_json::Value;

use crate::pipeline::Field;

/// What of a mapping differs from the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proposal {
    /// Where the statuses stand in the body.
    pub(super) items: Option<String>,
    /// JSON pointers within a status.
    pub(super) fields: Vec<(Field, String)>,
}

/// Names of a field, the surest first; in small letters, without `_` and `-`.
fn names(field: Field) -> &'static [&'static str] {
    match field {
        Field::Client => &[
            "clientid",
            "customerid",
            "tenantid",
            "orgid",
            "companyid",
            "client",
        ],
        Field::Device => &[
            "deviceid",
            "devid",
            "deviceno",
            "devicecode",
            "equipmentid",
            "equipid",
            "terminalid",
            "gatewayid",
            "nodeid",
            "device",
            "imei",
            "id",
        ],
        Field::Serial => &[
            "sn",
            "serial",
            "serialno",
            "serialnumber",
            "devicesn",
            "imei",
            "mac",
        ],
        Field::NewState => &[
            "newstate",
            "newstatus",
            "currentstate",
            "currentstatus",
            "devicestate",
            "devicestatus",
            "runstate",
            "runstatus",
            "onlinestatus",
            "state",
            "status",
        ],
        Field::OldState => &[
            "oldstate",
            "oldstatus",
            "laststate",
            "laststatus",
            "prevstate",
            "prevstatus",
            "previousstate",
            "previousstatus",
            "beforestate",
        ],
        Field::Province => &["province"],
        Field::City => &["city"],
        Field::District => &["district", "county"],
        Field::Detail => &["detail", "addressdetail", "address", "addr"],
        Field::CoordinateSystem => &[
            "coordinatesystem",
            "coordinatesysm",
            "coordsys",
            "coordtype",
        ],
        Field::Longitude => &["longitude", "lng", "lon"],
        Field::Latitude => &["latitude", "lat"],
        Field::OccurredAt => &[
            "occurredat",
            "occurtime",
            "happentime",
            "eventtime",
            "statustime",
            "reporttime",
            "alarmtime",
            "timestamp",
            "time",
            "ts",
        ],
    }
}

/// Objects within a status are looked into so deep.
const DEPTH_MAX: usize = 3;

/// More values of one status are not looked at.
const LEAVES_MAX: usize = 500;

/// The mapping that reads a body; `None`: it holds nothing that looks like a status of a device.
pub(super) fn propose(body: &Value) -> Option<Proposal> {
    let (items, status) = statuses(body)?;
    let leaves = leaves(status);
    let found = Field::ALL
        .into_iter()
        .filter_map(|field| Some((field, pointer(field, &leaves)?)));
    let found: Vec<(Field, String)> = found.collect();
    let of_device = |pointer: &String| {
        let device = found.iter().find(|(field, _)| *field == Field::Device);
        device.is_some_and(|(_, device)| device == pointer)
    };
    let says_more = |(field, pointer): &&(Field, String)| {
        let is_double = *field == Field::Serial && of_device(pointer);
        field.default_pointer() != Some(pointer) && !is_double
    };
    let fields = found.iter().filter(says_more).cloned();
    Some(Proposal {
        items,
        fields: fields.collect(),
    })
}

/// The first status of a body, and where its list stands: the body itself, or one of its values. An
/// envelope may have an id and a status of its own, such as HTTP's: a list within it says more.
fn statuses(body: &Value) -> Option<(Option<String>, &Value)> {
    let whole = first_status(body).map(|status| (None, status));
    match whole {
        Some((_, status)) if !has_list(status, DEPTH_MAX) => whole,
        _ => within(body).or(whole),
    }
}

/// The first status below a body.
fn within(body: &Value) -> Option<(Option<String>, &Value)> {
    let mut waiting = vec![(String::new(), body)];
    for _ in 0..DEPTH_MAX {
        let mut below = Vec::new();
        for (path, value) in waiting {
            for (name, value) in value.as_object().into_iter().flatten() {
                let path = format!("{path}/{}", escaped(name));
                if let Some(status) = first_status(value) {
                    return Some((Some(path), status));
                }
                below.push((path, value));
            }
        }
        waiting = below;
    }
    None
}

/// The value, or the first of a list, where it has a device and its state.
fn first_status(value: &Value) -> Option<&Value> {
    let status = match value {
        Value::Array(list) => list.first()?,
        value => value,
    };
    let mut own = leaves(status);
    own.retain(|(pointer, _)| pointer.matches('/').count() == 1);
    let has = |field| pointer(field, &own).is_some();
    let is_status = (has(Field::Device) || has(Field::Serial)) && has(Field::NewState);
    is_status.then_some(status)
}

/// Whether a list of objects stands in it.
fn has_list(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(list) => list.first().is_some_and(Value::is_object),
        Value::Object(values) if depth > 0 => {
            values.values().any(|value| has_list(value, depth - 1))
        }
        _ => false,
    }
}

/// Each text, number or boolean of a status with its pointer, what stands higher first.
fn leaves(status: &Value) -> Vec<(String, &Value)> {
    let mut leaves = Vec::new();
    let mut waiting = vec![(String::new(), status)];
    for _ in 0..DEPTH_MAX {
        let mut below = Vec::new();
        for (path, value) in waiting {
            for (name, value) in value.as_object().into_iter().flatten() {
                let path = format!("{path}/{}", escaped(name));
                match value {
                    Value::Object(_) => below.push((path, value)),
                    Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                        leaves.push((path, value));
                    }
                    Value::Array(_) | Value::Null => {}
                }
            }
        }
        waiting = below;
    }
    leaves.truncate(LEAVES_MAX);
    leaves
}

/// The surest place of a field.
fn pointer(field: Field, leaves: &[(String, &Value)]) -> Option<String> {
    names(field).iter().find_map(|name| {
        let found = leaves.iter().find(|(pointer, value)| {
            let last = pointer.rsplit('/').next().unwrap_or_default();
            normal(last) == **name && fits(field, value)
        });
        found.map(|(pointer, _)| pointer.clone())
    })
}

/// Whether a value may be that of a field.
fn fits(field: Field, value: &Value) -> bool {
    match field {
        Field::Longitude | Field::Latitude => {
            let text = value.as_str();
            value.is_number() || text.is_some_and(|text| text.trim().parse::<f64>().is_ok())
        }
        Field::Province
        | Field::City
        | Field::District
        | Field::Detail
        | Field::CoordinateSystem => value.is_string(),
        Field::OccurredAt => !value.is_boolean(),
        Field::Client | Field::Device | Field::Serial | Field::OldState | Field::NewState => true,
    }
}

fn normal(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters.flat_map(char::to_lowercase).collect()
}

/// RFC 6901, section 3.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, items: Option<&str>, fields: &[(Field, &str)]) {
        let value = serde_json::from_str(body).expect("JSON");
        let fields = fields
            .iter()
            .map(|(field, pointer)| (*field, (*pointer).to_owned()));
        let expected = Proposal {
            items: items.map(str::to_owned),
            fields: fields.collect(),
        };
        assert_eq!(propose(&value), Some(expected), "{body}");
    }

    #[test]
    fn the_platforms_own_message_needs_no_fields() {
        let message = r#"{"clientId":1,"deviceId":1,"sn":"5223","address":{"id":63,"clientId":0,
            "province":"江苏省","city":"盐城市","district":"射阳县","detail":"人民政府",
            "coordinateSysm":"baidu","latitude":33.7,"longitude":120.3,
            "createTime":"2020-12-09 11:16:16"},"oldState":"故障","newState":"故障"}"#;
        check(message, None, &[]);
        check(&format!("[{message}]"), None, &[]);
    }

    #[test]
    fn other_names_are_found_wherever_they_stand() {
        check(
            r#"{"dev_id":"a","status":1,"lastStatus":0,"ts":1700000000,"pos":{"lng":"1.5","lat":2}}"#,
            None,
            &[
                (Field::Device, "/dev_id"),
                (Field::OldState, "/lastStatus"),
                (Field::NewState, "/status"),
                (Field::Longitude, "/pos/lng"),
                (Field::Latitude, "/pos/lat"),
                (Field::OccurredAt, "/ts"),
            ],
        );
        check(
            r#"{"code":200,"status":"ok","id":7,"data":{"list":[{"id":1,"state":"x","a/b":{"city":"y"}}]}}"#,
            Some("/data/list"),
            &[
                (Field::Device, "/id"),
                (Field::NewState, "/state"),
                (Field::City, "/a~1b/city"),
            ],
        );
        check(
            r#"{"type":"event","payload":{"imei":"86","state":"on"}}"#,
            Some("/payload"),
            &[(Field::Device, "/imei"), (Field::NewState, "/state")],
        );
    }

    #[test]
    fn a_list_within_a_status_is_no_list_of_statuses() {
        let body = r#"{"deviceId":1,"newState":"x","sensors":[{"value":1}]}"#;
        check(body, None, &[]);
    }

    #[test]
    fn what_is_no_status_gives_nothing() {
        for body in [
            "7",
            "[]",
            "{}",
            r#"{"type":"heartbeat"}"#,
            r#"{"state":"x"}"#,
            r#"[[{"deviceId":1,"newState":"x"}]]"#,
        ] {
            let value: Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(propose(&value), None, "{body}");
        }
    }
}

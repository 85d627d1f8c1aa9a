//! Simulated devices: seeded, whose states drift by a small Markov chain, told in the
//! platform's own message. The same seed gives the same statuses in the same order. Knows no
//! socket; time passes only in [`Devices::run`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hub::Publisher;
use super::message::Message;

/// Shortest and longest time between two statuses of one device, in milliseconds. All devices
/// together send about 30 statuses a second, which a terminal can still show line by line.
const INTERVAL_MS: std::ops::Range<u64> = 200..600;

/// Where the simulated devices stand, four for each client. The pairs are Baidu's (BD-09), as the
/// platform sends them; the first is the example that the format is known by.
const SITES: [Site; 12] = [
    Site::new(
        1,
        "江苏省",
        "盐城市",
        "射阳县",
        120.33282601179727,
        33.77227409420624,
    ),
    Site::new(1, "江苏省", "南京市", "玄武区", 118.80429145, 32.05471062),
    Site::new(1, "江苏省", "苏州市", "姑苏区", 120.62390172, 31.34277285),
    Site::new(1, "江苏省", "徐州市", "云龙区", 117.25762391, 34.25910634),
    Site::new(2, "广东省", "广州市", "天河区", 113.36799641, 23.13013277),
    Site::new(2, "广东省", "深圳市", "南山区", 113.93694275, 22.53883169),
    Site::new(2, "广东省", "珠海市", "香洲区", 113.55011482, 22.27174406),
    Site::new(2, "广东省", "佛山市", "禅城区", 113.12863118, 23.01522539),
    Site::new(3, "四川省", "成都市", "武侯区", 104.04982516, 30.64731809),
    Site::new(3, "四川省", "绵阳市", "涪城区", 104.76322764, 31.46103358),
    Site::new(3, "四川省", "宜宾市", "翠屏区", 104.62660937, 28.77174181),
    Site::new(3, "四川省", "乐山市", "市中区", 103.76773025, 29.56160843),
];

/// The serial number of the first device, as in the platform's own example.
const FIRST_SERIAL: &str = "5223980739804501806b36caddcca2e0";

struct Site {
    client_id: u32,
    province: &'static str,
    city: &'static str,
    district: &'static str,
    longitude: f64,
    latitude: f64,
}

impl Site {
    const fn new(
        client_id: u32,
        province: &'static str,
        city: &'static str,
        district: &'static str,
        longitude: f64,
        latitude: f64,
    ) -> Site {
        Site {
            client_id,
            province,
            city,
            district,
            longitude,
            latitude,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum State {
    #[serde(rename = "正常")]
    Normal,
    #[serde(rename = "故障")]
    Fault,
    #[serde(rename = "离线")]
    Offline,
}

impl State {
    /// One step of the chain. Mostly a device says again what it said before; a fault lasts a
    /// while, and a device that was offline comes back as it will.
    fn next(self, random: &mut fastrand::Rng) -> State {
        match (self, random.u32(0..100)) {
            (State::Normal, 0..6) => State::Fault,
            (State::Normal, 6..9) => State::Offline,
            (State::Fault, 0..20) => State::Normal,
            (State::Fault, 20..24) => State::Offline,
            (State::Offline, 0..25) => State::Normal,
            (State::Offline, 25..30) => State::Fault,
            (same, _) => same,
        }
    }
}

struct Device {
    site: &'static Site,
    device_id: u32,
    serial: String,
    state: State,
}

/// The platform's message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    client_id: u32,
    device_id: u32,
    sn: &'a str,
    address: WireAddress<'a>,
    old_state: State,
    new_state: State,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireAddress<'a> {
    id: u32,
    client_id: u32,
    province: &'a str,
    city: &'a str,
    district: &'a str,
    detail: &'a str,
    coordinate_sysm: &'a str,
    latitude: f64,
    longitude: f64,
    create_time: &'a str,
    update_time: &'a str,
}

/// One status that a device tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// When, from the start of the simulation.
    pub at: Duration,
    /// `/topic/state/<client>`.
    pub destination: String,
    /// One JSON object, about 400 bytes.
    pub body: Vec<u8>,
}

/// Twelve devices of the clients 1, 2 and 3. An endless iterator of what they tell, in
/// order of time.
pub struct Devices {
    random: fastrand::Rng,
    devices: Vec<Device>,
    /// When each device speaks next, in milliseconds from the start, and its index: the earliest
    /// first.
    due: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Devices {
    /// The clients' ids: the statuses come on `/topic/state/<id>`.
    pub const CLIENTS: [u32; 3] = [1, 2, 3];

    /// Devices whose every status is determined by `seed`. Their ids, serial numbers and places are
    /// always the same.
    pub fn new(seed: u64) -> Devices {
        let mut random = fastrand::Rng::with_seed(seed);
        let devices: Vec<Device> = SITES
            .iter()
            .enumerate()
            .map(|(at, site)| Device::new(at, site))
            .collect();
        let due = (0..devices.len())
            .map(|at| Reverse((random.u64(0..INTERVAL_MS.end), at)))
            .collect();
        Devices {
            random,
            devices,
            due,
        }
    }

    /// Publishes each status when it is due, until `stop`.
    pub async fn run(mut self, publisher: Publisher, stop: CancellationToken) {
        let start = Instant::now();
        for status in &mut self {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(start + status.at) => {}
            }
            publisher.publish(Message::json(status.destination, status.body));
        }
    }
}

impl Iterator for Devices {
    type Item = Status;

    fn next(&mut self) -> Option<Status> {
        let Reverse((at_ms, index)) = self.due.pop()?;
        self.due
            .push(Reverse((at_ms + self.random.u64(INTERVAL_MS), index)));
        let device = &mut self.devices[index];
        let old_state = device.state;
        device.state = old_state.next(&mut self.random);
        Some(Status {
            at: Duration::from_millis(at_ms),
            destination: format!("/topic/state/{}", device.site.client_id),
            body: device.tell(old_state),
        })
    }
}

impl Device {
    fn new(index: usize, site: &'static Site) -> Device {
        let device_id = u32::try_from(index).expect("a dozen sites") + 1;
        Device {
            site,
            device_id,
            serial: match index {
                0 => FIRST_SERIAL.to_owned(),
                _ => serial(device_id),
            },
            state: State::Normal,
        }
    }

    fn tell(&self, old_state: State) -> Vec<u8> {
        let message = Wire {
            client_id: self.site.client_id,
            device_id: self.device_id,
            sn: &self.serial,
            address: WireAddress {
                id: 62 + self.device_id,
                // The platform sends 0 here for every owner.
                client_id: 0,
                province: self.site.province,
                city: self.site.city,
                district: self.site.district,
                detail: "人民政府",
                coordinate_sysm: "baidu",
                latitude: self.site.latitude,
                longitude: self.site.longitude,
                create_time: "2020-12-09 11:16:16",
                update_time: "2020-12-09 11:16:16",
            },
            old_state,
            new_state: self.state,
        };
        serde_json::to_vec(&message).expect("strings and finite numbers always serialise")
    }
}

/// 32 hexadecimal digits, the same at each start.
fn serial(device_id: u32) -> String {
    let mut random = fastrand::Rng::with_seed(device_id.into());
    format!("{:032x}", random.u128(..))
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    fn bodies(seed: u64, count: usize) -> Vec<Value> {
        Devices::new(seed)
            .take(count)
            .map(|status| serde_json::from_slice(&status.body).unwrap())
            .collect()
    }

    #[test]
    fn same_seed_tells_the_same_and_another_seed_does_not() {
        let told = |seed| Devices::new(seed).take(500).collect::<Vec<_>>();
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
        let serials = |seed| {
            let bodies = bodies(seed, 500).into_iter();
            bodies
                .map(|body| (body["deviceId"].as_u64(), body["sn"].to_string()))
                .collect::<HashMap<_, _>>()
        };
        assert_eq!(serials(7), serials(8));
    }

    #[test]
    fn old_state_is_always_what_the_device_said_before() {
        let mut last = HashMap::new();
        let (mut equal, mut changed) = (0, 0);
        for body in bodies(1, 5_000) {
            let before = last.insert(body["sn"].clone(), body["newState"].clone());
            assert_eq!(body["oldState"], before.unwrap_or("正常".into()), "{body}");
            if body["oldState"] == body["newState"] {
                equal += 1
            } else {
                changed += 1
            }
        }
        assert!(
            equal > 1_000 && changed > 300,
            "{equal} equal, {changed} changed"
        );
    }

    #[test]
    fn every_device_reaches_every_state_on_its_clients_topic() {
        let mut seen = HashSet::new();
        for status in Devices::new(2).take(5_000) {
            let body: Value = serde_json::from_slice(&status.body).unwrap();
            assert_eq!(
                status.destination,
                format!("/topic/state/{}", body["clientId"])
            );
            seen.insert((
                body["deviceId"].as_u64().unwrap(),
                body["newState"].as_str().unwrap().to_owned(),
            ));
        }
        assert_eq!(seen.len(), SITES.len() * 3);
    }

    #[test]
    fn each_device_speaks_every_few_hundred_milliseconds_in_order_of_time() {
        let statuses: Vec<Status> = Devices::new(3).take(1_000).collect();
        assert!(statuses.is_sorted_by_key(|status| status.at));
        let seconds = statuses.last().unwrap().at.as_secs_f64();
        let rate = 1_000.0 / seconds / SITES.len() as f64;
        assert!(
            (1.7..5.0).contains(&rate),
            "{rate} statuses a second from one device"
        );
    }

    #[test]
    fn the_message_is_the_platforms_own() {
        let golden = r#"{"clientId":1,"deviceId":1,"sn":"5223980739804501806b36caddcca2e0","address":{"id":63,"clientId":0,"province":"江苏省","city":"盐城市","district":"射阳县","detail":"人民政府","coordinateSysm":"baidu","latitude":33.77227409420624,"longitude":120.33282601179727,"createTime":"2020-12-09 11:16:16","updateTime":"2020-12-09 11:16:16"},"oldState":"故障","newState":"故障"}"#;
        let mut device = Device::new(0, &SITES[0]);
        device.state = State::Fault;
        assert_eq!(
            String::from_utf8(device.tell(State::Fault)).unwrap(),
            golden
        );
    }

    #[test]
    fn serials_are_32_hexadecimal_digits_and_differ() {
        let serials: HashSet<String> = Devices::new(4)
            .devices
            .iter()
            .map(|device| device.serial.clone())
            .collect();
        assert_eq!(serials.len(), SITES.len());
        assert!(
            serials
                .iter()
                .all(|serial| serial.len() == 32 && serial.bytes().all(|b| b.is_ascii_hexdigit()))
        );
    }
}

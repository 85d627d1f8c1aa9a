//! How much room an event takes in a history, all included, by a fixed generator: 11 statuses a day
//! of each device for a month, of which every third changes the state, addresses that stay.

use jiff::SignedDuration;
use stomp_bridge::model::{Severity, StatusEvent};

use crate::events::{JOURNAL, batch, event, raw, start, status};
use crate::history::Database;

const DEVICES: i64 = 150;
const ROUNDS: i64 = 330;
const STATES: [(&str, Severity); 3] = [
    ("正常", Severity::Ok),
    ("故障", Severity::Critical),
    ("离线", Severity::Warning),
];

/// The platform's own message; with `time`, one that is new in each.
fn payload(device: i64, [old, new]: [&str; 2], time: &str) -> String {
    format!(
        r#"{{"clientId":1,"deviceId":{device},"sn":"5223980739804501806b36caddcc{device:04}","address":{{"id":63,"clientId":0,"province":"江苏省","city":"盐城市","district":"射阳县","detail":"人民政府","coordinateSysm":"baidu","latitude":33.77227409420624,"longitude":120.33282601179727,"createTime":"2020-12-09 11:16:16","updateTime":"2020-12-09 11:16:16"}},"oldState":"{old}","newState":"{new}"{time}}}"#
    )
}

/// What every device says in one round, about two hours after the one before.
fn round(round: i64, is_timed: bool) -> Vec<StatusEvent> {
    let at = event(0).received_at + SignedDuration::from_secs(round * 86_400 / 11);
    let said = |device: i64| {
        let state = |round: i64| {
            let turn = device + round.div_euclid(3);
            STATES[turn.rem_euclid(3) as usize]
        };
        let [(old, _), (new, severity)] = [state(round - 1), state(round)];
        let received_at = at + SignedDuration::from_millis(device * 17);
        let time = match is_timed {
            true => format!(r#","time":"{received_at}""#),
            false => String::new(),
        };
        StatusEvent {
            client_id: "1".to_owned(),
            serial: Some(format!("5223980739804501806b36caddcc{device:04}")),
            old_state: Some(old.to_owned()),
            new_state: new.to_owned(),
            severity,
            changed: old != new,
            received_at,
            payload: raw(&payload(device, [old, new], &time)),
            ..status(
                JOURNAL,
                round * DEVICES + device + 1,
                &device.to_string(),
                new,
            )
        }
    };
    (0..DEVICES).map(said).collect()
}

async fn bytes(database: &Database) -> i64 {
    let query = match database {
        Database::Sqlite { .. } => {
            "SELECT CAST(page_count * page_size AS text) FROM pragma_page_count, pragma_page_size"
        }
        Database::Postgres { .. } => {
            "SELECT sum(pg_total_relation_size(oid))::text FROM pg_class \
             WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        }
    };
    database.text(query).await.parse().unwrap()
}

#[tokio::test]
async fn an_event_takes_no_more_room_than_this() {
    for (is_timed, most) in [(false, [250, 450]), (true, [700, 950])] {
        for (database, most) in Database::both().await.iter().zip(most) {
            let mut sink = start(database.settings(None));
            sink.open(JOURNAL).await.unwrap();
            for number in 0..ROUNDS {
                sink.attempt(batch(&round(number, is_timed))).await.unwrap();
            }
            sink.close().await;
            if let Database::Postgres { .. } = database {
                // What was updated goes by autovacuum, once no other test's snapshot needs it.
                database.execute("VACUUM FULL device_row").await;
            }
            let each = bytes(database).await / (DEVICES * ROUNDS);
            println!("{}: {each} bytes an event", database.url());
            assert!(each <= most, "{}: {each} bytes an event", database.url());
        }
    }
}

//! Heart-beats both ways, and silence.

use std::time::Duration;

use stomp_bridge::stomp::{AckMode, Options, SessionError};

use super::client::{CONNECTED, Client};

#[test]
fn our_heartbeat_is_one_lf_at_six_tenths_of_the_interval_after_the_last_write() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:0,1000\n\n\0");
    assert_eq!(client.deadline(), Some(6_000));
    assert_eq!(client.at(5_999), Ok(vec![]));
    assert_eq!(client.sent(), [""; 0]);
    client.at(6_000).unwrap();
    assert_eq!(client.sent(), ["\n"]);
    assert_eq!(client.deadline(), Some(12_000));

    // A frame is as good as a heart-beat.
    client.at(9_000).unwrap();
    client.subscribe("a", AckMode::Auto);
    assert_eq!(client.sent().len(), 1);
    client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap();
    assert_eq!(client.deadline(), Some(15_000));
}

#[test]
fn a_writer_that_is_stuck_is_given_one_heartbeat_an_interval_and_no_deadline_in_the_past() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:0,10000\n\n\0");
    for round in 1..=3 {
        client.at(6_000 * round).unwrap();
        assert_eq!(
            client
                .session
                .take_outgoing()
                .map(|outgoing| outgoing.bytes),
            Some("\n".into())
        );
        assert_eq!(client.deadline(), Some(6_000 * (round + 1)));
    }
    // What waits already needs no heart-beat after it.
    client.subscribe("a", AckMode::Auto);
    client.at(24_000).unwrap();
    assert_eq!(client.session.take_outgoing().unwrap().ends.len(), 1);
}

#[test]
fn silence_is_two_and_a_half_intervals_without_a_byte() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:10000,0\n\n\0");
    assert_eq!(client.deadline(), Some(25_000));
    assert_eq!(client.at(24_999), Ok(vec![]));
    // Half a frame is a sign of life.
    assert_eq!(client.hears("MESS"), Ok(vec![]));
    assert_eq!(
        client.deadline(),
        Some(27_999),
        "when its end is looked for"
    );
    assert_eq!(client.at(46_999), Ok(vec![]));
    assert_eq!(client.deadline(), Some(49_999));
    assert_eq!(client.at(49_998), Ok(vec![]));
    assert_eq!(
        client.hears("AGE\nsubscription:x\n\n\0"),
        Ok(vec!["unknown x  no ack".to_owned()])
    );
    assert_eq!(
        client.at(74_998),
        Err(SessionError::Silent {
            silence: Duration::from_secs(25)
        })
    );
}

#[test]
fn a_late_reader_does_not_take_its_own_delay_for_silence() {
    let mut client = Client::connected("CONNECTED\nversion:1.2\nheart-beat:1000,0\n\n\0");
    // We slept through many intervals; what has arrived meanwhile is received first.
    client.now = client.start + Duration::from_secs(600);
    assert_eq!(client.hears("\n\n\n"), Ok(vec![]));
    assert_eq!(client.at(600_000), Ok(vec![]));
}

#[test]
fn without_heartbeats_only_the_watchdog_notices_silence() {
    let mut client = Client::connected(CONNECTED);
    assert_eq!(client.deadline(), None);
    assert_eq!(client.at(86_400_000), Ok(vec![]));

    let mut client = Client::new(Options {
        silence_max: Some(Duration::from_secs(60)),
        ..Options::new("/")
    });
    client.hears(CONNECTED).unwrap();
    assert_eq!(client.deadline(), Some(60_000));
    assert_eq!(
        client.at(60_000),
        Err(SessionError::Silent {
            silence: Duration::from_secs(60)
        })
    );
}

#[test]
fn waits_without_end_do_not_overflow_the_clock() {
    let options = Options {
        heartbeat: Duration::MAX,
        silence_max: Some(Duration::MAX),
        connected_timeout: Duration::MAX,
        receipt_timeout: Duration::MAX,
        disconnect_timeout: Duration::MAX,
        ..Options::new("/")
    };
    let mut client = Client::new(options);
    assert!(client.deadline().is_some());
    client
        .hears("CONNECTED\nversion:1.2\nheart-beat:18446744073709551615,18446744073709551615\n\n\0")
        .unwrap();
    client.subscribe("a", AckMode::Auto);
    assert!(client.deadline().is_some());
    client.session.disconnect(client.now);
    assert!(client.deadline().is_some());
}

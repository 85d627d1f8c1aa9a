//! Replays that an operator begins while another one is on its way.

use std::sync::atomic::AtomicBool;

use futures_util::FutureExt;

use super::*;

fn slice(device_id: Option<&str>) -> Replay {
    Replay {
        done: Position::START,
        through: Position(5),
        since: None,
        until: None,
        device_id: device_id.map(str::to_owned),
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_begun_while_another_is_read_is_delivered_whole() {
    // The first of them has a page without an event, or one with some.
    for (device, before) in [("2", vec![]), ("3", vec![3])] {
        let mut rig = Rig::new(Far::default()).await;
        rig.append(["ok", "ok", "d3", "ok", "ok"]).await;
        let begins = Arc::new(AtomicBool::new(false));
        let (admin, armed) = (rig.journal.admin.clone(), Arc::clone(&begins));
        let decode: Decode = Box::new(move |entry| {
            if armed.swap(false, Ordering::Relaxed) {
                // It is in the writer's queue once it was polled.
                let begun = admin.begin_replay("site", slice(None)).now_or_never();
                assert!(begun.is_none(), "it waits for the writer");
            }
            fake_decode(entry)
        });
        rig.start_as(Box::new(rig.fake.clone()), decode);
        rig.until_done().await;
        begins.store(true, Ordering::Relaxed);
        let first = rig.journal.admin.begin_replay("site", slice(Some(device)));
        first.await.unwrap();
        rig.until("the second is begun", |_| !begins.load(Ordering::Relaxed))
            .await;
        rig.until_settled().await;
        let expected = before.into_iter().chain(1..=5).collect::<Vec<i64>>();
        assert_eq!(rig.fake.far().again, expected, "device {device}");
        rig.stop().await;
    }
}

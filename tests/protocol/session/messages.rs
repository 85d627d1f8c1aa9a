//! Subscriptions, messages, acknowledgements, receipts.

use stomp_bridge::stomp::{AckMode, Confirm, Event, NackError, NewMessage, Subscribe};

use super::client::{CONNECTED, Client};

#[test]
fn a_subscription_is_confirmed_by_receipt_message_or_silence() {
    let mut client = Client::connected(CONNECTED);
    for id in ["r", "m", "s"] {
        client.subscribe(id, AckMode::Auto);
    }
    assert_eq!(client.deadline(), Some(2_000));
    let message = "MESSAGE\nsubscription:m\nmessage-id:1\n\nx\0";
    assert_eq!(
        client.hears(message).unwrap(),
        ["subscribed m by Message", "message m x no ack"]
    );
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap(),
        ["subscribed r by Receipt"]
    );
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-2\n\n\0"),
        Ok(vec![]),
        "known already"
    );
    assert_eq!(client.at(1_999), Ok(vec![]));
    assert_eq!(client.at(2_000).unwrap(), ["subscribed s by Silence"]);
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-3\n\n\0"),
        Ok(vec![]),
        "too late to matter"
    );
    assert_eq!(client.deadline(), None);
}

#[test]
fn receipts_come_in_any_order_and_foreign_ones_are_ignored() {
    let mut client = Client::connected(CONNECTED);
    let confirmed = NewMessage {
        destination: "/q",
        confirm: Confirm::Receipt,
        ..NewMessage::default()
    };
    let ids: Vec<String> = (0..3)
        .map(|_| {
            client
                .session
                .send(&confirmed, client.now)
                .unwrap()
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(ids, ["r-1", "r-2", "r-3"]);
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-3\n\n\0").unwrap(),
        ["receipt r-3 by Receipt"]
    );
    for foreign in ["receipt-id:s0\n", "receipt-id:r-99\n", ""] {
        assert_eq!(client.hears(&format!("RECEIPT\n{foreign}\n\0")), Ok(vec![]));
    }
    // A SEND's receipt leaks into RabbitMQ's MESSAGE.
    client
        .hears("MESSAGE\nsubscription:x\nreceipt:r-2\n\n\0")
        .unwrap();
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-1\n\n\0").unwrap(),
        ["receipt r-1 by Receipt"]
    );
    assert_eq!(client.at(2_000).unwrap(), ["receipt r-2 by Silence"]);
}

#[test]
fn an_acknowledgement_has_the_headers_of_its_version() {
    let message = |subscription: &str| {
        format!("MESSAGE\nsubscription:{subscription}\nmessage-id:m\\c1\nack:k\\c1\n\nx\0")
    };
    let check = |version, acked: &str, nacked: Option<&str>| {
        let mut client = Client::subscribed(version);
        let events = ["a", "c", "i"].map(|id| client.hears(&message(id)).unwrap().concat());
        assert_eq!(
            events,
            ["message a x no ack", "message c x acks", "message i x acks"],
            "{version}"
        );
        for ack in &client.acks {
            client.session.ack(ack);
        }
        assert_eq!(
            client.sent(),
            ["c", "i"].map(|id| acked.replace("SUB", id)),
            "{version}"
        );
        match nacked {
            None => assert_eq!(client.session.nack(&client.acks[0]), Err(NackError::NoNack)),
            Some(nacked) => {
                client.session.nack(&client.acks[0]).unwrap();
                assert_eq!(client.sent(), [nacked]);
            }
        }
    };
    check("1.0", "ACK\nmessage-id:m\\c1\n\n", None);
    let nacked = "NACK\nsubscription:c\nmessage-id:m\\c1\n\n";
    check(
        "1.1",
        "ACK\nsubscription:SUB\nmessage-id:m\\c1\n\n",
        Some(nacked),
    );
    check("1.2", "ACK\nid:k\\c1\n\n", Some("NACK\nid:k\\c1\n\n"));
}

#[test]
fn an_id_goes_back_as_it_came() {
    let check = |version: &str, id: &str, expected: &str| {
        let mut client = Client::subscribed(version);
        let message = format!("MESSAGE\nsubscription:i\nmessage-id:{id}\nack:{id}\n\n\0");
        client.hears(&message).unwrap();
        client.session.ack(&client.acks[0]);
        assert_eq!(client.sent(), [expected], "{version} {id}");
    };
    check("1.2", "T_x:y@@1", "ACK\nid:T_x:y@@1\n\n");
    check("1.2", "T_x\\cy:z", "ACK\nid:T_x\\cy:z\n\n");
    check("1.2", "C:\\temp", "ACK\nid:C:\\temp\n\n");
    check("1.2", " 1 ", "ACK\nid: 1 \n\n");
    check("1.2", "1\r\r", "ACK\nid:1\\r\n\n");
    check("1.1", "a:b", "ACK\nsubscription:i\nmessage-id:a:b\n\n");
    check("1.0", " a\\b ", "ACK\nmessage-id: a\\b \n\n");
}

#[test]
fn a_message_of_no_subscription_is_acknowledged_where_the_server_asks_for_it() {
    let mut client = Client::subscribed("1.2");
    let unknown = "MESSAGE\nsubscription:who\nack:1\n\nx\0";
    client
        .session
        .receive(bytes::Bytes::from(unknown), client.now);
    let Ok(Some(stomp_bridge::stomp::Event::Unknown(message))) = client.session.poll() else {
        panic!("no such subscription");
    };
    client.session.ack(&message.ack.unwrap());
    assert_eq!(client.sent(), ["ACK\nid:1\n\n"]);
    let events = client.hears("MESSAGE\nsubscription:who\n\nx\0").unwrap();
    assert_eq!(events, ["unknown who x no ack"]);
}

#[test]
fn a_1_1_message_of_no_subscription_is_acknowledged_with_the_subscription_it_came_with() {
    let mut client = Client::subscribed("1.1");
    let mut acked = |headers: &str| {
        let stream = format!("MESSAGE\n{headers}\nx\0");
        client.session.receive(stream.into(), client.now);
        let Ok(Some(Event::Unknown(message))) = client.session.poll() else {
            panic!("no such subscription");
        };
        if let Some(ack) = &message.ack {
            client.session.ack(ack);
        }
        client.sent().concat()
    };
    let ack = "ACK\nsubscription:who\nmessage-id:T_1@@7\n\n";
    assert_eq!(acked("subscription:who\nmessage-id:T_1@@7\n"), ack);
    assert_eq!(acked("subscription:who\n"), "");
    assert_eq!(acked("message-id:T_1@@7\n"), "");
    // Nothing of ours is acknowledged: the server waits for no ACK.
    let mut client = Client::connected("CONNECTED\nversion:1.1\n\n\0");
    client.subscribe("a", AckMode::Auto);
    let unknown = "MESSAGE\nsubscription:who\nmessage-id:m1\n\nx\0";
    let events = client.hears(unknown).unwrap();
    assert_eq!(events, ["unknown who x no ack"]);
}

#[test]
fn a_1_2_message_without_ack_is_not_acknowledged() {
    let mut client = Client::subscribed("1.2");
    let events = client
        .hears("MESSAGE\nsubscription:i\nmessage-id:3-0\nredelivered:true\n\nx\0")
        .unwrap();
    assert_eq!(events, ["message i x no ack again"]);
}

#[test]
fn a_message_finds_its_subscription_by_id_or_else_by_destination() {
    let mut client = Client::subscribed("1.0");
    let mut check = |headers: &str, expected: &str| {
        assert_eq!(
            client.hears(&format!("MESSAGE\n{headers}\nx\0")).unwrap(),
            [expected],
            "{headers}"
        );
    };
    check("subscription:a\ndestination:/other\n", "message a x no ack");
    check("destination:/topic/a\n", "message a x no ack");
    check("destination:/elsewhere\n", "unknown  x no ack");
    check("", "unknown  x no ack");
    check("subscription:who\n", "unknown who x no ack");
}

#[test]
fn a_message_that_names_its_subscription_oddly_finds_it() {
    let mut client = Client::subscribed("1.2");
    let mut check = |headers: &str, expected: &str| {
        let events = client.hears(&format!("MESSAGE\n{headers}\nx\0")).unwrap();
        assert_eq!(events[0], expected, "{headers}");
        assert!(
            events[1].contains("expected the id of a subscription"),
            "{events:?}"
        );
    };
    check("subscription: i\nack: 1\n", "message i x acks");
    check(
        "subscription:who\ndestination:/topic/i\nack:1\n",
        "message i x acks",
    );
    check("subscription:/topic/a\n", "message a x no ack");
    let events = client
        .hears("MESSAGE\nsubscription : i\nack : 1\n\nx\0")
        .unwrap();
    assert_eq!(events, ["message i x acks"]);
}

#[test]
fn a_destination_is_the_live_subscriptions_before_an_ended_ones() {
    let mut client = Client::subscribed("1.2");
    // Of the same destination, and behind it in the order of the ids.
    client.session.unsubscribe("i", client.now);
    client.session.subscribe(
        Subscribe {
            id: "renamed".into(),
            destination: "/topic/i".to_owned(),
            ack: AckMode::ClientIndividual,
            headers: Vec::new(),
        },
        client.now,
    );
    client.sent();
    let head = "MESSAGE\ndestination:/topic/i\nack:1\n";
    let events = client.hears(&format!("{head}\nx\0")).unwrap();
    assert_eq!(
        events,
        ["subscribed renamed by Message", "message renamed x acks"]
    );
    let events = client
        .hears(&format!("{head}subscription:who\n\nx\0"))
        .unwrap();
    let expected = "message renamed x acks".to_owned();
    assert!(events.contains(&expected), "{events:?}");
}

#[test]
fn a_malformed_message_names_our_subscription_whatever_it_says_itself() {
    let found = |headers: &str| {
        let mut client = Client::subscribed("1.2");
        let stream = format!("MESSAGE\n{headers}\n\nx\0");
        client.session.receive(stream.into(), client.now);
        match client.session.poll().unwrap() {
            Some(Event::Malformed(told)) => told.found,
            other => panic!("{headers}: {other:?}"),
        }
    };
    let ours = Some("i".into());
    assert_eq!(found("subscription:i\nno colon"), ours);
    assert_eq!(found("destination:/topic/i\nno colon"), ours);
    assert_eq!(
        found("subscription:who\ndestination:/topic/i\nno colon"),
        ours
    );
    assert_eq!(found("subscription:who\nno colon"), None);
}

#[test]
fn after_unsubscribe_messages_are_late_and_cannot_be_acknowledged() {
    let mut client = Client::subscribed("1.2");
    let message = "MESSAGE\nsubscription:i\nmessage-id:1\nack:1\n\nx\0";
    client.hears(message).unwrap();
    client.session.unsubscribe("i", client.now);
    assert_eq!(client.sent(), ["UNSUBSCRIBE\nid:i\nreceipt:r-4\n\n"]);
    assert_eq!(client.hears(message).unwrap(), ["late i x no ack"]);
    client.session.ack(&client.acks[0]);
    client.session.nack(&client.acks[0]).unwrap();
    client.session.unsubscribe("i", client.now);
    client.session.unsubscribe("nobody", client.now);
    assert_eq!(client.sent(), [""; 0]);
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-4\n\n\0").unwrap(),
        ["unsubscribed i by Receipt"]
    );
    assert_eq!(client.hears(message).unwrap(), ["late i x no ack"]);

    client.subscribe("i", AckMode::ClientIndividual);
    assert_eq!(client.sent().len(), 1);
    assert_eq!(
        client.hears(message).unwrap(),
        ["subscribed i by Message", "message i x acks"]
    );
}

/// RabbitMQ's habit, in the words of another: one ERROR for each message, after the receipt, and the
/// session goes on.
#[test]
fn a_message_that_meets_our_unsubscribe_does_not_end_the_session() {
    let withheld = |id: &str| format!("ERROR\nmessage:too late\n\nnot sent to {id}\0\n");
    let mut client = Client::subscribed("1.2");
    client.session.unsubscribe("i", client.now);
    let heard = client
        .hears(&format!(
            "RECEIPT\nreceipt-id:r-4\n\n\0{}{}",
            withheld("i"),
            withheld("i")
        ))
        .unwrap();
    assert_eq!(
        heard,
        ["unsubscribed i by Receipt", "withheld i", "withheld i"]
    );
    client.subscribe("i", AckMode::ClientIndividual);
    assert_eq!(
        client.hears(&withheld("i")).unwrap(),
        ["withheld i"],
        "it is no answer to the new SUBSCRIBE"
    );
    client
        .hears(&withheld("a"))
        .expect_err("a subscription that stands is there for the server, too");
    let mut client = Client::subscribed("1.2");
    client.session.unsubscribe("i", client.now);
    client
        .hears("ERROR\nmessage:too late\n\nin words that nobody knows\0\n")
        .expect_err("any other ERROR ends the session");
}

#[test]
fn acknowledgements_in_a_transaction_follow_its_beginning() {
    let mut client = Client::subscribed("1.2");
    client
        .hears("MESSAGE\nsubscription:i\nmessage-id:1\nack:1\n\nx\0")
        .unwrap();
    client.session.begin("t").unwrap();
    client.session.ack_in("t", &client.acks[0]);
    client.session.unsubscribe("i", client.now);
    client.session.ack_in("t", &client.acks[0]);
    client.session.commit("t", client.now).unwrap();
    let sent = client.sent();
    let expected = [
        "BEGIN\ntransaction:t\n\n",
        "ACK\nid:1\ntransaction:t\n\n",
        "UNSUBSCRIBE\nid:i\nreceipt:r-4\n\n",
    ];
    assert_eq!(sent[..3], expected, "{sent:?}");
    assert_eq!(
        sent[3..],
        ["COMMIT\ntransaction:t\nreceipt:r-5\n\n"],
        "nothing of it after UNSUBSCRIBE"
    );
}

#[test]
fn an_unsubscribe_that_is_not_answered_counts_as_done() {
    let mut client = Client::subscribed("1.2");
    client.session.unsubscribe("a", client.now);
    assert_eq!(client.at(2_000).unwrap(), ["unsubscribed a by Silence"]);
}

#[test]
fn an_id_in_use_is_never_subscribed_twice() {
    let mut client = Client::subscribed("1.2");
    client.subscribe("a", AckMode::Client);
    let expected = [
        "UNSUBSCRIBE\nid:a\n\n",
        "SUBSCRIBE\nid:a\ndestination:/topic/a\nack:client\nreceipt:r-4\n\n",
    ];
    assert_eq!(client.sent(), expected);
    assert_eq!(
        client.hears("RECEIPT\nreceipt-id:r-4\n\n\0").unwrap(),
        ["subscribed a by Receipt"]
    );
}

#[test]
fn transactions_and_sends_are_written_as_asked() {
    let mut client = Client::connected(CONNECTED);
    client.session.begin("t:1").unwrap();
    let headers = [("content-type", "text/plain"), ("x\n", "a:b")];
    let message = NewMessage {
        destination: "/q",
        headers: &headers,
        body: b"hi",
        transaction: Some("t:1"),
        ..NewMessage::default()
    };
    assert_eq!(client.session.send(&message, client.now), Ok(None));
    let committed = client.session.commit("t:1", client.now).unwrap();
    client.session.abort("t2").unwrap();
    let expected = [
        "BEGIN\ntransaction:t\\c1\n\n",
        "SEND\ndestination:/q\ntransaction:t\\c1\ncontent-type:text/plain\nx\\n:a\\cb\n\nhi",
        "COMMIT\ntransaction:t\\c1\nreceipt:r-1\n\n",
        "ABORT\ntransaction:t2\n\n",
    ];
    assert_eq!(client.sent(), expected);
    assert_eq!(
        client
            .hears(&format!("RECEIPT\nreceipt-id:{committed}\n\n\0"))
            .unwrap(),
        ["receipt r-1 by Receipt"]
    );
}

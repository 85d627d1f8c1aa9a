//! Every rule that a client must keep, with the tests that hold it; and tests of the rules that no
//! other file tests. STOMP x.y, section: https://stomp.github.io/stomp-specification-x.y.html.
//! SockJS: sockjs-protocol 0.3.3.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use stomp_bridge::stomp::{
    AckMode, BodyKind, Command, Decoder, Frame, Limits, NewMessage, Version,
};

use crate::session::client::{CONNECTED, Client};

/// A rule, and where it is tested: `file: test test …; file: …`.
const RULES: &[(&str, &str)] = &[
    // STOMP 1.2, STOMP Frames and Augmented BNF.
    (
        "between frames LF, CRLF and stray NULs are skipped",
        "tests/protocol/codec/mod.rs: golden_frames_decode_however_they_are_cut",
    ),
    (
        "every byte is a sign of life",
        "tests/protocol/session/heartbeats.rs: silence_is_two_and_a_half_intervals_without_a_byte",
    ),
    (
        "lines end in LF, one CR before it is dropped",
        "tests/protocol/codec/mod.rs: golden_frames_decode_however_they_are_cut",
    ),
    (
        "CRLF is never sent",
        "tests/protocol/rules.rs: nothing_that_we_send_has_a_line_end_but_lf; src/stomp/escape.rs: no_text_can_end_its_line_its_name_or_its_frame",
    ),
    (
        "a header is split at its first colon, may be empty, and is compared trimmed",
        "src/stomp/headers.rs: values_are_split_at_the_first_colon_and_trimmed_in_1_0_only; tests/protocol/session/messages.rs: a_message_that_names_its_subscription_oddly_finds_it",
    ),
    (
        "of repeated headers the first wins",
        "src/stomp/headers.rs: first_of_repeated_headers_wins; tests/protocol/rules.rs: of_two_content_lengths_the_first_counts; tests/protocol/codec/lenient.rs: of_two_content_lengths_the_first_counts_also_where_it_is_wrong",
    ),
    (
        "content-length counts octets and is followed by NUL; else the body ends at its first NUL",
        "tests/protocol/codec/lenient.rs: a_content_length_that_does_not_fit_ends_the_body_at_its_first_nul a_length_that_counts_too_much_holds_the_next_message_for_three_seconds_at_most a_body_with_nuls_is_waited_for_as_long_as_bytes_come; tests/protocol/codec/mod.rs: lengths_beyond_any_number_are_refused_before_anything_is_allocated",
    ),
    (
        "without content-length the body ends at the first NUL",
        "tests/protocol/codec/mod.rs: golden_frames_decode_however_they_are_cut",
    ),
    (
        "limits on command, header line, headers, body and frame cost what is over them, not the stream",
        "tests/protocol/codec/lenient.rs: long_and_many_headers_are_passed_over_and_keys_are_kept a_header_of_any_length_is_not_held a_head_without_an_end_is_no_frame; tests/protocol/codec/mod.rs: limits_are_inclusive a_body_over_the_limit_is_read_past_and_the_stream_goes_on a_body_far_over_the_limit_is_still_an_error a_body_over_the_limit_is_not_held",
    ),
    (
        "the blank line after the headers is always written",
        "src/stomp/encode.rs: every_frame_has_its_blank_line_and_its_nul; tests/protocol/rules.rs: nothing_that_we_send_has_a_line_end_but_lf",
    ),
    (
        "any split of a stream decodes to the same frames",
        "tests/protocol/codec/mod.rs: what_is_encoded_is_decoded_however_it_is_cut any_bytes_mean_the_same_however_they_are_cut",
    ),
    // STOMP 1.2, Value Encoding.
    (
        "each version has its escapes, undone in one pass; an unknown one stays as it is",
        "src/stomp/escape.rs: each_version_decodes_its_own_escapes_in_one_pass no_text_can_end_its_line_its_name_or_its_frame; tests/protocol/codec/lenient.rs: a_line_without_a_colon_is_passed_over_and_an_unknown_escape_stays",
    ),
    (
        "CONNECT, STOMP and CONNECTED are not escaped; RabbitMQ's backslashes are an option",
        "src/stomp/escape.rs: rules_follow_command_and_version; src/stomp/connect.rs: connect_is_never_escaped_and_has_no_spaces; tests/protocol/session/connecting.rs: connect_asks_for_every_version_and_doubles_backslashes_on_request; tests/protocol/config.rs: whoever_has_a_backslash_in_connect_is_asked_what_it_means",
    ),
    (
        "an ERROR is read leniently, also one that is cut",
        "tests/protocol/codec/mod.rs: golden_frames_decode_however_they_are_cut; tests/protocol/codec/lenient.rs: a_sloppy_error_is_read an_error_that_the_close_cuts_still_says_why",
    ),
    (
        "a frame whose end is known never stops what comes behind it",
        "tests/protocol/codec/lenient.rs: a_good_message_behind_any_frame_whose_end_is_known_arrives a_frame_without_its_blank_line_ends_at_its_nul a_command_is_known_whatever_is_round_it_and_others_are_passed_over; tests/protocol/session/endings.rs: frames_that_have_no_place_here_are_passed_over",
    ),
    (
        "what servers were seen to send stops nothing behind it",
        "tests/source/scripted/frames.rs: what_stands_behind_an_odd_frame_arrives_over_tcp what_stands_behind_an_odd_frame_arrives_over_websocket what_stands_behind_an_odd_frame_arrives_over_sockjs a_sockjs_message_of_any_length_stops_nothing_behind_it a_message_that_ends_three_connections_is_named",
    ),
    (
        "an odd CONNECTED is read as well as it can be",
        "tests/protocol/session/connecting.rs: an_odd_connected_is_read_as_well_as_it_can_be what_comes_before_connected_is_passed_over",
    ),
    (
        "a message of no topic is kept, and acknowledged where the server asks for it",
        "tests/protocol/session/messages.rs: a_message_of_no_subscription_is_acknowledged_where_the_server_asks_for_it a_1_1_message_of_no_subscription_is_acknowledged_with_the_subscription_it_came_with",
    ),
    (
        "ids that we make are letters, digits and hyphens",
        "src/stomp/receipts.rs: only_our_own_names_are_known; tests/protocol/rules.rs: names_that_we_make_need_no_escape_in_any_server",
    ),
    (
        "an id goes back as it came",
        "tests/protocol/session/messages.rs: an_acknowledgement_has_the_headers_of_its_version an_id_goes_back_as_it_came",
    ),
    // STOMP 1.2, Connecting.
    (
        "CONNECT has accept-version, host and heart-beat without spaces, and no receipt",
        "src/stomp/connect.rs: connect_is_never_escaped_and_has_no_spaces; tests/protocol/session/connecting.rs: connect_asks_for_every_version_and_doubles_backslashes_on_request",
    ),
    (
        "nothing is sent before CONNECTED",
        "tests/protocol/session/connecting.rs: nothing_is_sent_before_connected",
    ),
    (
        "CONNECTED without version is 1.0, without heart-beat 0,0",
        "tests/protocol/session/connecting.rs: connected_tells_version_server_and_heartbeats",
    ),
    // STOMP 1.0, 1.1 and 1.2, ACK and NACK.
    (
        "ACK and NACK have their version's headers",
        "tests/protocol/session/messages.rs: an_acknowledgement_has_the_headers_of_its_version",
    ),
    (
        "a 1.2 MESSAGE without ack is not acknowledged",
        "tests/protocol/session/messages.rs: a_1_2_message_without_ack_is_not_acknowledged",
    ),
    (
        "an ACK follows the commit",
        "tests/source/scripted/mod.rs: an_ack_follows_the_commit_and_names_the_message client_mode_acknowledges_the_last_of_a_batch_only",
    ),
    // STOMP 1.2, Heart-beating.
    (
        "the longer interval holds, 0 is off",
        "src/stomp/heartbeat.rs: each_direction_takes_the_longer_interval_and_0_is_off",
    ),
    (
        "our heart-beat is one LF at 0.6 of the interval, by one writer",
        "tests/protocol/session/heartbeats.rs: our_heartbeat_is_one_lf_at_six_tenths_of_the_interval_after_the_last_write a_writer_that_is_stuck_is_given_one_heartbeat_an_interval_and_no_deadline_in_the_past; tests/source/transport/websocket.rs: frame_is_one_message_and_only_text_is_text",
    ),
    (
        "two intervals and a half without a byte are silence, after all that has arrived is read",
        "tests/protocol/session/heartbeats.rs: silence_is_two_and_a_half_intervals_without_a_byte a_late_reader_does_not_take_its_own_delay_for_silence; tests/source/scripted/mod.rs: a_server_that_falls_silent_is_left_within_two_intervals_and_a_second a_server_that_is_not_read_is_not_taken_for_silent a_flood_does_not_stop_our_heartbeats",
    ),
    (
        "without heart-beats TCP keep-alive, pings and a watchdog notice a dead link, and it is said which",
        "tests/protocol/session/heartbeats.rs: without_heartbeats_only_the_watchdog_notices_silence; tests/source/scripted/mod.rs: without_heartbeats_a_dead_websocket_is_noticed_by_pings; src/transport/stream.rs: every_socket_has_keep_alive_and_waits_for_nothing; tests/source/supervision/silence.rs: without_heartbeats_a_link_without_a_byte_is_made_anew_once_each_time any_byte_is_a_sign_of_life_and_no_message; src/source/broker/warning.rs: without_heartbeats_it_is_said_what_notices_a_dead_link",
    ),
    // STOMP 1.2, ERROR, RECEIPT and DISCONNECT.
    (
        "ERROR ends the session, and we close",
        "tests/protocol/session/endings.rs: an_error_ends_the_session_and_names_what_it_is_about an_error_that_names_nothing_is_about_the_only_subscription_in_question; tests/source/scripted/mod.rs: an_error_ends_the_connection_although_the_server_leaves_it_open",
    ),
    (
        "receipts have a timeout and no order",
        "tests/protocol/session/messages.rs: receipts_come_in_any_order_and_foreign_ones_are_ignored; src/stomp/receipts.rs: receipts_settle_in_any_order_and_fall_due_in_theirs",
    ),
    (
        "DISCONNECT waits for its receipt, two seconds or the end",
        "tests/protocol/session/endings.rs: disconnect_waits_for_its_receipt_a_close_or_two_seconds; tests/source/scripted/mod.rs: stopping_commits_acknowledges_and_says_goodbye",
    ),
    // STOMP over WebSocket; RFC 6455.
    (
        "subprotocols are offered and any answer is taken",
        "tests/source/transport/websocket.rs: request_carries_path_headers_and_subprotocols_and_no_origin every_answer_that_real_servers_give_is_taken",
    ),
    (
        "text and binary feed one stream; a frame is one text message",
        "tests/source/transport/websocket.rs: messages_of_any_kind_are_pieces_of_one_stream frame_is_one_message_and_only_text_is_text",
    ),
    (
        "pings are answered and sent",
        "tests/source/transport/websocket.rs: ping_is_answered_and_shown_as_life probe_brings_a_sign_of_life",
    ),
    (
        "long frames go whole, or in pieces on the boundaries of characters where it is asked for",
        "src/transport/split.rs: a_frame_is_cut_between_characters_only_where_it_is_too_long pieces_are_texts_that_make_the_frame_again; tests/source/transport/websocket.rs: a_long_frame_goes_in_pieces_only_where_it_is_asked_for; tests/source/transport/sockjs.rs: a_long_frame_goes_in_pieces_where_it_is_asked_for",
    ),
    (
        "a WebSocket message of any length and encoding is pieces of the stream, and so is one of SockJS",
        "tests/source/transport/websocket.rs: message_of_any_length_comes_in_pieces text_is_bytes_whatever_its_encoding; tests/source/transport/sockjs.rs: frame_beyond_the_limit_comes_in_pieces",
    ),
    // SockJS.
    (
        "paths, session ids, cookies and headers",
        "tests/source/transport/sockjs.rs: session_is_asked_for_as_the_protocol_says every_transport_is_tried_in_order_and_each_failure_told; src/transport/sockjs/info.rs: session_path_goes_before_the_query info_says_what_is_offered_and_where; tests/protocol/mistakes.rs: every_attempt_of_sockjs_has_a_session_of_its_own",
    ),
    (
        "frames o, h, a, m, c; elements are chunks",
        "src/transport/sockjs/frame.rs: elements_are_pieces_of_one_stream open_and_heartbeat_are_one_letter close_is_read_however_it_is_written",
    ),
    (
        "escapes, surrogates and text only",
        "src/transport/sockjs/frame.rs: every_escape_is_undone lone_surrogate_becomes_a_replacement_and_takes_nothing_with_it; tests/source/transport/sockjs.rs: body_that_is_not_text_is_refused_and_nothing_is_sent",
    ),
    (
        "close codes are told as they are",
        "tests/source/transport/websocket.rs: close_is_told_as_it_is_also_where_it_is_not_allowed; tests/source/transport/sockjs.rs: end_of_a_session_is_told; src/transport/error.rs: close_says_code_meaning_and_the_servers_words",
    ),
    (
        "xhr_streaming rolls over, never asks after c, and a second o is a lost session",
        "tests/source/transport/xhr.rs: streaming_goes_on_in_the_next_answer closed_session_is_not_asked_again second_open_means_that_the_session_is_lost streamed_frames_may_be_cut_anywhere",
    ),
    (
        "one xhr_send at a time, with all that waits",
        "tests/source/transport/xhr.rs: frames_are_sent_as_one_request_beside_the_receiving_one refused_sending_is_an_error",
    ),
    (
        "websocket, xhr_streaming, xhr, each with its share of the time",
        "tests/source/transport/sockjs.rs: every_transport_is_tried_in_order_and_each_failure_told websocket_that_is_swallowed_leaves_time_for_the_next_transport",
    ),
    // The servers' habits.
    (
        "what a server keeps is read from CONNECTED, and nothing more is claimed",
        "src/source/broker/kind.rs: a_broker_is_what_connected_says_and_no_more auto_is_warned_of_where_the_server_would_keep_messages only_what_the_server_keeps_is_orphaned; src/source/broker/rabbitmq.rs: durable_queues_keep_messages_and_fleeting_ones_do_not each_warning_is_one_line_that_says_what_to_do; src/source/broker/activemq.rs: durable_subscriptions_keep_messages_and_stay; src/source/broker/artemis.rs: a_durable_subscription_keeps_messages; src/source/broker/guarantee/tests.rs: advice_that_is_followed_leads_to_a_better_line_until_there_is_none; src/source/broker/rabbitmq.rs: whatever_can_lose_a_message_stands_in_the_line what_messages_have_shown_stands_in_the_line; tests/source/scripted/redelivery.rs: the_highest_count_is_kept_and_changes_the_guarantee_for_the_connections_behind_it; src/source/broker/spring.rs: it_keeps_nothing_whatever_the_destination_is_called; src/source/broker/unknown.rs: only_queues_are_believed_to_keep_messages; src/source/status.rs: a_weak_point_is_news_once_and_again_after_it_was_mended; tests/daemon/live/guarantees.rs: what_comes_while_the_daemon_is_away_is_there_afterwards_exactly_where_that_is_promised",
    ),
    (
        "a SUBSCRIBE that nobody confirms is taken for done",
        "tests/protocol/session/messages.rs: a_subscription_is_confirmed_by_receipt_message_or_silence",
    ),
    (
        "messages that race UNSUBSCRIBE are late, and their ACK is not sent",
        "tests/protocol/session/messages.rs: after_unsubscribe_messages_are_late_and_cannot_be_acknowledged",
    ),
    (
        "a SEND with message-id is refused by RabbitMQ, and ours has none",
        "src/cli/send.rs: a_header_is_split_at_its_first_colon",
    ),
    (
        "Artemis ends what says nothing for a minute, though no heart-beat was agreed",
        "src/source/broker/artemis.rs: without_our_heartbeats_it_is_said_that_the_connection_ends",
    ),
    (
        "a server that hangs is left in time, wherever it hangs",
        "tests/source/supervision/stages.rs: in_the_handshake_of_tcp before_any_layer_above_tcp in_every_transport_of_sockjs_one_after_another between_the_upgrade_and_connected a_subscription_that_nobody_answers_is_taken_for_done_after_three_seconds with_a_goodbye_that_nobody_answers",
    ),
    (
        "a bad message is kept and acknowledged, never refused back",
        "tests/source/scripted/mod.rs: what_cannot_be_decoded_is_kept_raw_and_acknowledged a_message_that_is_too_long_is_kept_in_part_and_acknowledged_once",
    ),
    (
        "text is sent without content-length",
        "tests/protocol/rules.rs: text_is_sent_without_content_length_and_bytes_with_it",
    ),
];

/// Holds a table of claims against the files that it names.
pub(crate) fn check_table(table: &[(&str, &str)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (claim, places) in table {
        for place in places.split("; ") {
            let (file, tests) = place
                .split_once(": ")
                .unwrap_or_else(|| panic!("{claim}: {place}"));
            let text = fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{claim}: {file}: {error}"));
            for test in tests.split(' ') {
                assert!(
                    text.contains(&format!("fn {test}(")),
                    "{claim}: {file} has no test {test}"
                );
            }
        }
    }
}

#[test]
fn every_rule_has_a_test() {
    assert!(RULES.len() > 40);
    check_table(RULES);
}

#[test]
fn nothing_that_we_send_has_a_line_end_but_lf() {
    let mut client = Client::subscribed("1.2");
    for id in ["c", "i"] {
        client
            .hears(&format!(
                "MESSAGE\r\nsubscription:{id}\r\nmessage-id:1\r\nack:a\\r\r\n\r\nx\0"
            ))
            .unwrap();
    }
    for ack in client.acks.clone() {
        client.session.ack(&ack);
        client.session.nack(&ack).unwrap();
    }
    client.session.begin("t\r\n").unwrap();
    let message = NewMessage {
        destination: "/q\r\n",
        headers: &[("a\r", "b\n")],
        body: b"x",
        ..NewMessage::default()
    };
    client.session.send(&message, client.now).unwrap();
    client.session.abort("t\r\n").unwrap();
    client.session.unsubscribe("c", client.now);
    client.session.disconnect(client.now);
    let sent = client.sent();
    assert_eq!(sent.len(), 9, "{sent:?}");
    for frame in sent {
        assert!(!frame.contains('\r'), "{frame:?}");
        let (head, _) = frame
            .split_once("\n\n")
            .unwrap_or_else(|| panic!("no blank line in {frame:?}"));
        assert!(
            head.lines().skip(1).all(|line| line.contains(':')),
            "{frame:?}"
        );
    }
}

#[test]
fn of_two_content_lengths_the_first_counts() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(Bytes::from_static(
        b"MESSAGE\ncontent-length:3\ncontent-length:x\n\na\0b\0MESSAGE\n\n\0",
    ));
    let frame = decoder.next().unwrap().unwrap();
    assert_eq!(
        (frame.command, &frame.body[..]),
        (Command::Message, &b"a\0b"[..])
    );
    assert!(matches!(decoder.next(), Ok(Some(Frame { .. }))));
}

#[test]
fn names_that_we_make_need_no_escape_in_any_server() {
    let mut client = Client::connected(CONNECTED);
    for id in 0..12 {
        client.subscribe(&format!("s{id}"), AckMode::Auto);
    }
    client.session.disconnect(client.now);
    let sent = client.sent();
    let receipts: Vec<&str> = sent
        .iter()
        .flat_map(|frame| frame.lines())
        .filter_map(|line| line.strip_prefix("receipt:"))
        .collect();
    assert_eq!(receipts.len(), 13);
    for receipt in receipts {
        assert!(
            receipt
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "{receipt}"
        );
    }
}

#[test]
fn text_is_sent_without_content_length_and_bytes_with_it() {
    // ActiveMQ and Artemis make a bytes message of a SEND with a content-length.
    let check = |body: &[u8], kind, expected: &str| {
        let mut client = Client::connected(&CONNECTED.replace("1.2", Version::V1_1.as_str()));
        let message = NewMessage {
            destination: "/q",
            body,
            kind,
            ..NewMessage::default()
        };
        client.session.send(&message, client.now).unwrap();
        assert_eq!(client.sent(), [expected]);
    };
    check(
        "hé".as_bytes(),
        BodyKind::Text,
        "SEND\ndestination:/q\n\nhé",
    );
    check(
        "hé".as_bytes(),
        BodyKind::Bytes,
        "SEND\ndestination:/q\ncontent-length:3\n\nhé",
    );
    check(
        b"a\0b",
        BodyKind::Text,
        "SEND\ndestination:/q\ncontent-length:3\n\na\0b",
    );
}

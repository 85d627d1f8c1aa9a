//! Over real sockets of the loopback, mostly on a paused clock: it goes on when nobody has anything
//! to do, so that a time is what the stream has waited for.

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::*;

const INTERVAL: Duration = Duration::from_millis(5);
const MS: Duration = Duration::from_millis(1);

/// A paced stream, and its peer.
struct Pair {
    stream: PacedStream,
    peer: TcpStream,
    interval: Interval,
}

async fn pair(interval: Duration) -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tcp, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (interval, peer) = (Interval::new(interval), accepted.unwrap().0);
    peer.set_nodelay(true).unwrap();
    let stream = PacedStream::new(
        tcp.unwrap(),
        interval.clone(),
        Pacing::default(),
        TcpAcks::Delayed,
    );
    stream.pacing().begin();
    Pair {
        stream,
        peer,
        interval,
    }
}

impl Pair {
    async fn write(&mut self, text: &str) {
        self.peer.write_all(text.as_bytes()).await.unwrap();
    }

    /// What the next read gives, and how long it has waited.
    async fn read(&mut self) -> (String, Duration) {
        let mut bytes = vec![0; 64 * 1024];
        let began = Instant::now();
        let count = self.stream.read(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
        (text, began.elapsed())
    }

    /// The same, if there is something to be read without waiting.
    fn read_now(&mut self) -> Option<String> {
        self.read().now_or_never().map(|(text, _)| text)
    }

    /// Has it pause with unread bytes, outside of epoll; `read` comes first.
    async fn rest(&mut self) {
        self.write("first").await;
        assert_eq!(self.read().await.0, "first");
        self.write("second").await;
        assert_eq!(self.stream.peek_now().await, None);
        assert!(matches!(self.stream.side, Side::Alone(_)));
    }
}

impl PacedStream {
    /// A read that is given up.
    async fn peek_now(&mut self) -> Option<usize> {
        // Epoll is asked between two polls of a task.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.read(&mut [0; 64]).now_or_never().map(Result::unwrap)
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_bytes_are_read_at_once_and_the_next_ones_together() {
    let mut pair = pair(INTERVAL).await;
    for _ in 0..3 {
        pair.write("a").await;
        assert_eq!(pair.read().await, ("a".to_owned(), Duration::ZERO));
        pair.write("b").await;
        pair.write("c").await;
        let (text, waited) = pair.read().await;
        assert_eq!(text, "bc");
        assert!(
            waited >= INTERVAL - MS && waited <= INTERVAL + MS,
            "{waited:?}"
        );
        // A quiet moment: two reads find nothing.
        assert!(timeout(4 * INTERVAL, pair.read()).await.is_err());
        assert!(matches!(pair.stream.side, Side::Registered(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_read_serves_all_that_came_within_an_interval() {
    const MESSAGES: usize = 1000;
    let message = [b'x'; 100];
    // Interval in ms, and how many reads a thousand messages, one in each ms, need at most.
    for (interval, reads_max) in [(5, 210), (20, 60), (100, 25), (0, 1010)] {
        let Pair {
            mut stream,
            mut peer,
            ..
        } = pair(interval * MS).await;
        let writing = async {
            for _ in 0..MESSAGES {
                peer.write_all(&message).await.unwrap();
                sleep(MS).await;
            }
        };
        let reading = async {
            let (mut bytes, mut reads, mut buffer) = (0, 0, vec![0; 64 * 1024]);
            while bytes < MESSAGES * message.len() {
                bytes += stream.read(&mut buffer).await.unwrap();
                reads += 1;
            }
            reads
        };
        let ((), reads) = tokio::join!(writing, reading);
        assert!(reads <= reads_max, "{reads} reads with {interval} ms");
        let at_once = interval == 0;
        assert_eq!(reads > 900, at_once, "{reads} reads with {interval} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_not_paused() {
    const BYTES: usize = 4 << 20;
    let Pair {
        mut stream,
        mut peer,
        ..
    } = pair(INTERVAL).await;
    let began = Instant::now();
    let writing = async { peer.write_all(&vec![b'x'; BYTES]).await.unwrap() };
    let reading = async {
        let (mut left, mut buffer) = (BYTES, vec![0; 64 * 1024]);
        while left > 0 {
            left -= stream.read(&mut buffer).await.unwrap();
        }
    };
    tokio::join!(writing, reading);
    let took = began.elapsed();
    assert!(took <= 4 * INTERVAL, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_noticed_after_the_pause() {
    let mut closed = pair(INTERVAL).await;
    closed.rest().await;
    let Pair {
        mut stream, peer, ..
    } = closed;
    drop(peer);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"second");

    let mut reset = pair(INTERVAL).await;
    reset.rest().await;
    let Pair {
        mut stream, peer, ..
    } = reset;
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let ended = timeout(4 * INTERVAL, stream.read_to_end(&mut rest));
    let error = ended.await.expect("in time").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn an_interval_changes_for_streams_that_are_open() {
    let mut pair = pair(Duration::from_secs(1)).await;
    pair.rest().await;
    pair.interval.set(Duration::ZERO);
    assert_eq!(pair.read().await.0, "second");
    for _ in 0..3 {
        pair.write("x").await;
        assert_eq!(pair.read().await, ("x".to_owned(), Duration::ZERO));
    }
    pair.interval.set(2 * INTERVAL);
    pair.rest().await;
    assert!(pair.read().await.1 >= INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_multiple_of_an_interval_follows_it() {
    let interval = Interval::default();
    let twice = interval.times(2);
    for ms in [5, 0, 7] {
        interval.set(ms * MS);
        assert_eq!((interval.get(), twice.get()), (ms * MS, 2 * ms * MS));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_in_a_hurry_gets_what_is_there() {
    let mut pair = pair(INTERVAL).await;
    let pacing = pair.stream.pacing();
    pair.rest().await;
    assert!(pacing.is_resting());
    pacing.hurry();
    assert_eq!(pair.read_now().as_deref(), Some("second"));
    // Nothing is there: what comes is read at once, and only that.
    pacing.hurry();
    assert_eq!(pair.read_now(), None);
    pair.write("third").await;
    assert_eq!(pair.read().await, ("third".to_owned(), Duration::ZERO));
    pair.write("fourth").await;
    assert!(pair.read().await.1 >= INTERVAL / 2);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_pace_reads_at_once_until_it_begins_again() {
    let mut pair = pair(INTERVAL).await;
    let pacing = pair.stream.pacing();
    pair.rest().await;
    pacing.suspend();
    assert_eq!(pair.read().await, ("second".to_owned(), Duration::ZERO));
    for _ in 0..3 {
        pair.write("x").await;
        assert_eq!(pair.read().await, ("x".to_owned(), Duration::ZERO));
    }
    pacing.begin();
    pair.rest().await;
    assert!(pair.read().await.1 >= INTERVAL / 2);
}

#[tokio::test(start_paused = true)]
async fn a_hurry_wakes_the_reader() {
    let mut pair = pair(Duration::from_secs(1)).await;
    let pacing = pair.stream.pacing();
    pair.rest().await;
    let hurry = async {
        sleep(MS).await;
        pacing.hurry();
    };
    let ((text, waited), ()) = tokio::join!(pair.read(), hurry);
    assert_eq!(text, "second");
    assert!(waited <= 2 * MS, "{waited:?}");
}

/// The peer reads nothing, then everything, and nobody reads what it has sent.
#[tokio::test]
async fn a_write_goes_on_though_nobody_reads() {
    const BYTES: usize = 16 << 20;
    let mut pair = pair(INTERVAL).await;
    pair.rest().await;
    let Pair {
        stream, mut peer, ..
    } = pair;
    let (_unread, mut writer) = split(stream);
    let mut written = Box::pin(async { writer.write_all(&vec![b'x'; BYTES]).await.unwrap() });
    assert!(timeout(20 * MS, &mut written).await.is_err(), "it is full");
    let reading = async { peer.read_exact(&mut vec![0; BYTES]).await.unwrap() };
    let both = async { tokio::join!(written, reading) };
    timeout(Duration::from_secs(20), both)
        .await
        .expect("the write hangs");
}

/// A pause must not take the stream out of epoll while a write waits there.
#[tokio::test]
async fn a_write_goes_on_while_reads_are_paused() {
    const BYTES: usize = 16 << 20;
    let Pair { stream, peer, .. } = pair(INTERVAL).await;
    let (mut reader, mut writer) = split(stream);
    let (mut from_us, mut to_us) = split(peer);
    // A task of its own: nobody else's wake-up helps it.
    let written = tokio::spawn(async move { writer.write_all(&vec![b'x'; BYTES]).await });
    let peer = async {
        // Pauses have begun and ended before a byte is taken.
        for _ in 0..50 {
            to_us.write_all(b"x").await.unwrap();
            sleep(MS).await;
        }
        from_us.read_exact(&mut vec![0; BYTES]).await.unwrap();
    };
    let reading = async { reader.read_exact(&mut [0; 50]).await.unwrap() };
    let all = async { tokio::join!(written, peer, reading).0.unwrap() };
    timeout(Duration::from_secs(20), all)
        .await
        .expect("the write hangs")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_written_during_a_pause_is_written_at_once() {
    let mut pair = pair(Duration::from_secs(1)).await;
    pair.rest().await;
    let began = Instant::now();
    pair.stream.write_all(b"answer").await.unwrap();
    pair.stream.shutdown().await.unwrap();
    let mut answer = String::new();
    pair.peer.read_to_string(&mut answer).await.unwrap();
    assert_eq!(
        (answer.as_str(), began.elapsed()),
        ("answer", Duration::ZERO)
    );
    assert_eq!(pair.read().await.0, "second");
}

#[test]
fn a_pause_is_no_longer_than_a_burst_needs() {
    let start = Instant::now();
    // Reads after so many ms each bring so many KiB; then the pause is that long, in ms.
    for (interval, every, kib, expected) in [
        (5, 5, 1, 5),
        (5, 5, 31, 5),
        (5, 5, 33, 0),
        (5, 100, 33, 5),
        (1, 1, 31, 1),
        (1, 1, 33, 0),
        (50, 50, 16, 50),
        (50, 50, 64, 25),
        (1000, 10, 32, 10),
        (1000, 100, 3200, 0),
    ] {
        let mut rate = Rate::new(start);
        for read in 1..5 {
            let now = start + read * every * MS;
            let pause = rate.pause(kib * 1024, now, interval * MS);
            let pause = pause.as_millis();
            let case = format!("{kib} KiB every {every} ms of {interval} ms, read {read}");
            assert_eq!(pause, u128::from(expected as u32), "{case}");
        }
    }
}

#[test]
fn a_flood_is_kept_to_the_end_of_the_next_span() {
    let start = Instant::now();
    let mut rate = Rate::new(start);
    let mut at = |ms: u32, kib: usize| rate.pause(kib * 1024, start + ms * MS, INTERVAL);
    assert_eq!(at(1, 33), Duration::ZERO);
    assert_eq!(at(6, 33), Duration::ZERO);
    assert_eq!(at(8, 1), Duration::ZERO);
    assert_eq!(at(12, 1), INTERVAL);
}

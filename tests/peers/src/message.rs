//! MESSAGE frames, rendered before the clock starts. All have one length: a message is a slot in
//! one buffer, and the next one costs the server three numbers.

/// How many digits a sequence number has, wherever it stands.
pub const DIGITS: usize = 9;
/// Before the sequence number in a body; ASCII, so that it passes through JSON untouched.
pub const MARK: &[u8] = b"seq=";
/// As the platform's messages are.
const BODY_BYTES: usize = 400;
/// How many devices speak in turn.
const DEVICES: usize = 1_000;

/// A ring of frames whose sequence numbers are patched in.
pub struct Ring {
    bytes: Vec<u8>,
    frame_bytes: usize,
    /// Where in a frame the sequence number stands.
    at: Vec<usize>,
    slots: usize,
}

impl Ring {
    /// `slots` frames for one subscription.
    pub fn new(subscription: &str, destination: &str, slots: usize) -> Ring {
        let bytes: Vec<u8> = (0..slots)
            .flat_map(|slot| frame(subscription, destination, slot))
            .collect();
        let frame_bytes = bytes.len() / slots;
        let number = [b'0'; DIGITS];
        let first = &bytes[..frame_bytes];
        let at: Vec<usize> = memchr::memmem::find_iter(first, &number).collect();
        assert_eq!(
            at.len(),
            3,
            "message-id, ack and body hold the number, and nothing else looks like it"
        );
        Ring {
            bytes,
            frame_bytes,
            at,
            slots,
        }
    }

    /// The longest contiguous run of the frames `from..to`, numbered by their sequence; and how
    /// many they are.
    pub fn render(&mut self, from: usize, to: usize) -> (&[u8], usize) {
        let first = from % self.slots;
        let count = (to - from).min(self.slots - first);
        for sequence in from..from + count {
            let frame = (sequence % self.slots) * self.frame_bytes;
            for at in &self.at {
                write_number(&mut self.bytes[frame + at..frame + at + DIGITS], sequence);
            }
        }
        (
            &self.bytes[first * self.frame_bytes..(first + count) * self.frame_bytes],
            count,
        )
    }
}

/// The number in fixed width.
pub fn write_number(digits: &mut [u8], mut number: usize) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number that follows [`MARK`] in a body.
pub fn read_number(body: &[u8]) -> Option<usize> {
    let start = memchr::memmem::find(body, MARK)? + MARK.len();
    std::str::from_utf8(body.get(start..start + DIGITS)?)
        .ok()?
        .parse()
        .ok()
}

fn frame(subscription: &str, destination: &str, slot: usize) -> Vec<u8> {
    let body = body(slot);
    let number = "0".repeat(DIGITS);
    let head = format!(
        "MESSAGE\nsubscription:{subscription}\ndestination:{destination}\nmessage-id:T_bench@@session-1@@{number}\n\
         redelivered:false\nack:T_bench@@session-1@@{number}\ncontent-type:application/json\n\
         content-length:{}\n\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes(), b"\0\n"].concat()
}

/// The platform's message in 400 bytes, with zeros for its number.
pub fn body(slot: usize) -> String {
    unnumbered(slot, BODY_BYTES)
}

/// The platform's message with this sequence number, `bytes` long.
pub fn status(sequence: usize, bytes: usize) -> Vec<u8> {
    let mut body = unnumbered(sequence, bytes).into_bytes();
    let mark = memchr::memmem::find(&body, MARK).expect("each message has a mark");
    let digits = mark + MARK.len();
    write_number(&mut body[digits..digits + DIGITS], sequence);
    body
}

/// The note holds the place of the sequence number and the padding up to `bytes`. All else of a
/// device stays as it is, as its address does.
fn unnumbered(slot: usize, bytes: usize) -> String {
    const STATES: [&str; 3] = ["正常", "故障", "离线"];
    let device = slot % DEVICES;
    let whole = |note: &str| {
        format!(
            r#"{{"clientId":1,"deviceId":{},"sn":"52239807398045018{:015x}","address":{{"id":63,"clientId":0,"province":"江苏省","city":"盐城市","district":"射阳县","detail":"","coordinateSysm":"baidu","latitude":33.77227409420624,"longitude":120.33282601179727,"createTime":"2020-12-09 11:16:16","updateTime":"2020-12-09 11:16:16"}},"oldState":"{}","newState":"{}","note":"{note}"}}"#,
            1_000 + device,
            // Never nine zeros in a row, which is where the sequence number goes.
            0x111_1111_1111_1111_u64 + device as u64,
            STATES[device % 3],
            STATES[(device + 1) % 3],
        )
    };
    let mark = format!("seq={}", "0".repeat(DIGITS));
    let padding = bytes - whole(&mark).len();
    whole(&format!("{mark}{}", "-".repeat(padding)))
}

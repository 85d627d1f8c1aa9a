//! The header of a WebSocket frame (RFC 6455, section 5.2), byte by byte.

/// Up to a whole header: two bytes, the length, and a mask.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Head {
    pub(super) bytes: [u8; HEAD_MAX],
    pub(super) length: usize,
}

const HEAD_MAX: usize = 14;

pub(super) const FINAL: u8 = 0x80;
pub(super) const RESERVED: u8 = 0x70;
pub(super) const OPCODE: u8 = 0x0f;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const MASKED: u8 = 0x80;

impl Head {
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// How long the header is, as far as its first bytes say.
    pub(super) fn wants(&self) -> usize {
        match self.filled() {
            [] | [_] => 2,
            [_, second, ..] => {
                let length = match second & !MASKED {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                };
                2 + length + if second & MASKED == 0 { 0 } else { 4 }
            }
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.length >= self.wants()
    }

    /// The length of the payload that a whole header announces.
    pub(super) fn payload(&self) -> u64 {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        match self.bytes[1] & !MASKED {
            126 => number(&self.bytes[2..4]),
            127 => number(&self.bytes[2..10]),
            length => u64::from(length),
        }
    }

    /// Announces another length, in as many bytes.
    pub(super) fn announce(&mut self, payload: u64) {
        let bytes = payload.to_be_bytes();
        match self.bytes[1] & !MASKED {
            126 => self.bytes[2..4].copy_from_slice(&bytes[6..]),
            127 => self.bytes[2..10].copy_from_slice(&bytes),
            _ => self.bytes[1] = bytes[7],
        }
    }

    /// The header of a frame that begins a binary message; `end` is [`FINAL`], or nothing.
    pub(super) fn of_message(payload: u64, end: u8) -> Head {
        let mut head = Head::default();
        head.push(end | BINARY);
        head.push(127);
        for byte in payload.to_be_bytes() {
            head.push(byte);
        }
        head
    }
}

//! What a peer may make us hold.

/// Limits on one incoming frame, each enforced before anything is allocated for it. What is over
/// one of them costs a header or a part of the body, and not the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest first line, its CR included. The longest command has 11 bytes; before a version is
    /// agreed a longer line is no STOMP, and the rest is there to quote it.
    pub command_bytes_max: usize,
    /// Longest header line, its CR included; a longer one is passed over, unless the message needs
    /// it. Tokens and stack traces come in headers.
    pub header_line_bytes_max: usize,
    /// Most header lines; more are passed over likewise. RabbitMQ turns a message's properties into
    /// headers, a few dozen at most.
    pub headers_max: usize,
    /// Longest body. An array of 2,000 of the platform's statuses fits; Spring's send buffer holds
    /// half of it.
    pub body_bytes_max: usize,
    /// Longest frame, from its command to its closing NUL.
    pub frame_bytes_max: usize,
    /// Longest body that is read and skipped if it is over `body_bytes_max` or makes its frame too
    /// long. Its beginning is handed out, and the stream goes on after it. More bytes without the
    /// end of a frame are an error. 0: every body over its limit is.
    pub oversize_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            command_bytes_max: 32,
            header_line_bytes_max: 16 << 10,
            headers_max: 256,
            body_bytes_max: 1 << 20,
            frame_bytes_max: (1 << 20) + (128 << 10),
            oversize_bytes_max: 0,
        }
    }
}

impl Limits {
    /// The default limits with another one for bodies, and room for the headers beside it.
    pub fn with_body_bytes_max(body_bytes_max: usize) -> Limits {
        let frame_bytes_max = body_bytes_max.saturating_add(128 << 10);
        Limits {
            body_bytes_max,
            frame_bytes_max,
            ..Limits::default()
        }
    }
}

//! Why bytes are no STOMP. The codec, its scan and the reading past a body share it.

/// Why a stream is no STOMP; the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first line is no command.
    #[error(
        "expected a STOMP command, found `{line}`: check that the URL's scheme and port are a STOMP server's"
    )]
    UnknownCommand {
        /// An excerpt of it.
        line: String,
    },
    /// The first line does not end; see
    /// [`Limits::command_bytes_max`](super::Limits::command_bytes_max).
    #[error(
        "expected a STOMP command, found a line of over {0} bytes: check that the URL's scheme and port are a \
             STOMP server's, and whether it expects TLS"
    )]
    CommandTooLong(usize),
    /// See [`Limits::header_line_bytes_max`](super::Limits::header_line_bytes_max).
    #[error("a header line is longer than the limit of {0} bytes")]
    HeaderTooLong(usize),
    /// See [`Limits::headers_max`](super::Limits::headers_max).
    #[error("a frame has more headers than the limit of {0}")]
    TooManyHeaders(usize),
    /// A header line without a colon.
    #[error("expected a header `name:value` or a blank line, found `{line}`")]
    NoColon {
        /// An excerpt of it.
        line: String,
    },
    /// A backslash that begins no escape of the version.
    #[error("header `{line}` has an escape that the agreed STOMP version does not know")]
    UnknownEscape {
        /// An excerpt of it.
        line: String,
    },
    /// `content-length` is no number of bytes.
    #[error("expected a number of bytes in content-length, found `{value}`")]
    BadContentLength {
        /// An excerpt of it.
        value: String,
    },
    /// See [`Limits::body_bytes_max`](super::Limits::body_bytes_max).
    #[error(
        "a body is longer than the limit of {0} bytes: raise the limit, or have smaller messages sent"
    )]
    BodyTooLong(usize),
    /// See [`Limits::frame_bytes_max`](super::Limits::frame_bytes_max).
    #[error(
        "a frame is longer than the limit of {0} bytes: raise the limit, or have smaller messages sent"
    )]
    FrameTooLong(usize),
    /// The body is longer than its `content-length` says.
    #[error(
        "expected NUL after a body of content-length {content_length}: the sender counts something else than bytes"
    )]
    NoNul {
        /// As the header says.
        content_length: usize,
    },
}

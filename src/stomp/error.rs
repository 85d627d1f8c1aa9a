//! The rules and limits that a frame may break. The codec and both of its readers share it.

use super::command::Command;

/// The rule or limit that a frame has broken. Most frames are read in spite of it (see
/// [`Frame::mistake`](super::Frame::mistake)); as an error it ends the stream.
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
    /// The first line of a frame among others is no command, or not quite.
    #[error("expected a STOMP command, found `{line}`")]
    OddCommand {
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
    /// The headers of a frame are too long together.
    #[error("a frame's headers are longer than {0} bytes together: the last ones are passed over")]
    HeadersTooLong(usize),
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
    /// A NUL stands among the headers: the frame ends there.
    #[error("expected a blank line after the headers, found the end of the frame")]
    NoBlankLine,
    /// `subscription` is no id of ours.
    #[error("expected the id of a subscription, found `{value}`: the destination says the topic")]
    OddSubscription {
        /// An excerpt of it.
        value: String,
    },
    /// A frame that a server has no reason to send, or not now.
    #[error("the frame {command} has no place here")]
    Misplaced {
        /// Its command.
        command: Command,
    },
    /// A header of CONNECTED that says nothing known.
    #[error("CONNECTED has `{header}:{value}`, which cannot be read: taken for {taken}")]
    BadConnected {
        /// Its name.
        header: &'static str,
        /// An excerpt of its value.
        value: String,
        /// What it is taken for.
        taken: String,
    },
    /// The body is longer than its `content-length` says, or shorter.
    #[error(
        "expected NUL after a body of content-length {content_length}: the sender counts something else than bytes"
    )]
    NoNul {
        /// As the header says.
        content_length: usize,
    },
}

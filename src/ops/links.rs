//! The paths of things that have a page of their own.

use crate::pipeline::percent_encoded;
use crate::sinks::history::question::DeviceKey;

/// The page of one device. An empty client is `-`; one whose name begins with `-` has one more.
pub(super) fn device_path(stream: &str, client: &str, device: &str) -> String {
    let segment = |text: &str| {
        let marked = match text.is_empty() || text.starts_with(['-', '.']) {
            true => format!("-{text}"),
            false => text.to_owned(),
        };
        percent_encoded(&marked)
    };
    format!(
        "/devices/{}/{}/{}",
        segment(stream),
        segment(client),
        segment(device)
    )
}

/// What a segment of [`device_path`] stands for.
fn named(segment: &str) -> &str {
    segment.strip_prefix('-').unwrap_or(segment)
}

/// The device that the segments of [`device_path`] stand for.
pub(super) fn device_named(segments: [&str; 3]) -> DeviceKey {
    let [stream, client_id, device_id] = segments.map(|segment| named(segment).to_owned());
    DeviceKey {
        stream,
        client_id,
        device_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_makes_one_segment_and_comes_back() {
        for (name, segment) in [
            ("", "-"),
            ("7", "7"),
            ("-", "--"),
            ("..", "-.."),
            ("a/b?c", "a%2Fb%3Fc"),
            ("故", "%E6%95%85"),
        ] {
            let path = device_path("s", name, "1");
            assert_eq!(path, format!("/devices/s/{segment}/1"));
            let decoded = percent_encoding::percent_decode_str(segment)
                .decode_utf8()
                .unwrap();
            assert_eq!(named(&decoded), name);
        }
    }
}

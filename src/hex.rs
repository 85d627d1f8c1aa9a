//! Bytes as hexadecimal digits.

/// Two lower-case digits for each byte.
pub fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    let nibbles = bytes.into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(hex([0x00, 0x0a, 0x9f, 0xff]), "000a9fff");
    }
}

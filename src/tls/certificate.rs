//! What a certificate says of itself (RFC 5280), as far as an operator needs it. webpki reads no
//! certificate that it does not take; this must also read those. It verifies nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};

/// The parts of a certificate that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// 1 for a certificate without extensions; TLS wants 3.
    pub(super) version: u8,
    /// The common name of its issuer.
    pub(super) issuer: Option<String>,
    /// The common name of its subject.
    pub(super) subject: Option<String>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// The subjectAltName, as far as it names hosts.
    pub(super) names: Vec<Name>,
    /// Whether it may sign others (basicConstraints, CA:TRUE).
    pub(super) is_authority: bool,
    /// Whether subject and issuer are the same.
    pub(super) is_own_issuer: bool,
    pub(super) key: SubjectPublicKeyInfoDer<'static>,
}

/// A host that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// In small letters; its first label may be `*`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
/// `[0] EXPLICIT Version` and `[3] EXPLICIT Extensions`.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Of GeneralName (section 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// 2.5.4.3, 2.5.29.17 and 2.5.29.19.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Until when a certificate holds; `None`: it is damaged.
pub fn not_after(der: &CertificateDer<'_>) -> Option<Timestamp> {
    Some(Certificate::read(der)?.not_after)
}

impl Certificate {
    /// Reads a certificate; `None` where it is damaged.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
        let mut whole = Reader(der.as_ref());
        let mut signed = Reader(Reader(whole.take(SEQUENCE)?).take(SEQUENCE)?);
        let version = match signed.take_if(VERSION) {
            Some(version) => Reader(version).any()?.content.first()?.checked_add(1)?,
            None => 1,
        };
        let _serial = signed.any()?;
        let _algorithm = signed.any()?;
        let issuer = signed.take(SEQUENCE)?;
        let mut validity = Reader(signed.take(SEQUENCE)?);
        let (not_before, not_after) = (time(&validity.any()?)?, time(&validity.any()?)?);
        let subject = signed.take(SEQUENCE)?;
        let key = signed.any()?;
        let mut certificate = Certificate {
            version,
            issuer: common_name(issuer),
            subject: common_name(subject),
            not_before,
            not_after,
            names: Vec::new(),
            is_authority: false,
            is_own_issuer: issuer == subject,
            key: key.whole.to_vec().into(),
        };
        while let Some(element) = signed.any() {
            if element.tag == EXTENSIONS {
                certificate.extend(element.content)?;
            }
        }
        Some(certificate)
    }

    fn extend(&mut self, extensions: &[u8]) -> Option<()> {
        let mut extensions = Reader(Reader(extensions).take(SEQUENCE)?);
        while let Some(extension) = extensions.take_if(SEQUENCE) {
            let mut extension = Reader(extension);
            let id = extension.take(OBJECT_ID)?;
            let _critical = extension.take_if(BOOLEAN);
            let value = extension.take(OCTET_STRING)?;
            match id {
                SUBJECT_ALT_NAME => self.names = names(value)?,
                BASIC_CONSTRAINTS => {
                    let flag = Reader(Reader(value).take(SEQUENCE)?).take_if(BOOLEAN);
                    self.is_authority = flag.is_some_and(|flag| flag != [0]);
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Whether it is for this host. Where no subjectAltName of it names a host, its common name
    /// counts, as it did before RFC 6125.
    pub(super) fn is_for(&self, host: &ServerName<'_>) -> bool {
        let wanted = match host {
            ServerName::DnsName(name) => Name::Dns(name.as_ref().to_ascii_lowercase()),
            ServerName::IpAddress(address) => Name::Ip((*address).into()),
            _ => return false,
        };
        if self.names.is_empty() {
            return self
                .subject
                .as_deref()
                .is_some_and(|name| Name::of(name).covers(&wanted));
        }
        self.names.iter().any(|name| name.covers(&wanted))
    }
}

impl Name {
    fn of(text: &str) -> Name {
        match text.parse() {
            Ok(address) => Name::Ip(address),
            Err(_) => Name::Dns(text.to_ascii_lowercase()),
        }
    }

    /// A `*` stands for one whole label (RFC 6125, section 6.4.3).
    fn covers(&self, wanted: &Name) -> bool {
        match (self, wanted) {
            (Name::Dns(own), Name::Dns(wanted)) => match own.strip_prefix("*.") {
                Some(domain) => wanted
                    .split_once('.')
                    .is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
                None => own == wanted,
            },
            (own, wanted) => own == wanted,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Ip(address) => address.fmt(f),
        }
    }
}

/// A damaged entry is left out, and so are those that name no host.
fn names(value: &[u8]) -> Option<Vec<Name>> {
    let mut entries = Reader(Reader(value).take(SEQUENCE)?);
    let mut names = Vec::new();
    while let Some(entry) = entries.any() {
        match entry.tag {
            DNS_NAME => names.extend(
                std::str::from_utf8(entry.content)
                    .ok()
                    .map(|name| Name::Dns(name.to_ascii_lowercase())),
            ),
            IP_ADDRESS => names.extend(address(entry.content).map(Name::Ip)),
            _ => {}
        }
    }
    Some(names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// The last common name, which is the most specific one.
fn common_name(name: &[u8]) -> Option<String> {
    let mut sets = Reader(name);
    let mut found = None;
    while let Some(set) = sets.any() {
        let mut pair = Reader(Reader(set.content).take(SEQUENCE)?);
        if pair.take(OBJECT_ID)? == COMMON_NAME {
            found = text(&pair.any()?);
        }
    }
    found
}

/// Fit for a log: a certificate may hold anything.
fn text(element: &Element<'_>) -> Option<String> {
    let text = if element.tag == BMP_STRING {
        let units = element
            .content
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .ok()?
    } else {
        String::from_utf8_lossy(element.content).into_owned()
    };
    Some(text.chars().filter(|c| !c.is_control()).take(64).collect())
}

/// Section 4.1.2.5: always in UTC, with seconds. A two-digit year below 50 is of this century.
fn time(element: &Element<'_>) -> Option<Timestamp> {
    let text = std::str::from_utf8(element.content)
        .ok()?
        .strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match element.tag {
        UTC_TIME if text.len() == 12 => {
            let year: i16 = text[..2].parse().ok()?;
            (year + if year < 50 { 2000 } else { 1900 }, &text[2..])
        }
        GENERALIZED_TIME if text.len() == 14 => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let at = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The parts of a `SubjectPublicKeyInfo` (section 4.1.2.7): the content of its algorithm, and the
/// bits of the key.
pub(super) fn key_parts<'k>(key: &'k SubjectPublicKeyInfoDer<'_>) -> Option<(&'k [u8], &'k [u8])> {
    let mut parts = Reader(Reader(key.as_ref()).take(SEQUENCE)?);
    let algorithm = parts.take(SEQUENCE)?;
    let (unused_bits, bits) = parts.take(BIT_STRING)?.split_first()?;
    (*unused_bits == 0).then_some((algorithm, bits))
}

/// One element of DER.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With its tag and length.
    whole: &'a [u8],
}

/// Elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn any(&mut self) -> Option<Element<'a>> {
        let input = self.0;
        let (&tag, rest) = input.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // More than four bytes of length are no certificate.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes
                    .iter()
                    .fold(0, |length, byte| (length << 8) | u64::from(*byte));
                (usize::try_from(length).ok()?, rest)
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(Element {
            tag,
            content,
            whole: &input[..input.len() - after.len()],
        })
    }

    /// The content of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any()
            .filter(|element| element.tag == tag)
            .map(|element| element.content)
    }

    /// The same where it may be missing.
    fn take_if(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&tag))
            .then(|| self.take(tag))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn fixture(name: &str) -> CertificateDer<'static> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/tls")
            .join(name);
        CertificateDer::from_pem_file(path).expect("a certificate")
    }

    fn read(name: &str) -> Certificate {
        Certificate::read(&fixture(name)).expect(name)
    }

    #[test]
    fn names_dates_and_kind_are_read() {
        let server = read("server.pem");
        let shown: Vec<String> = server.names.iter().map(Name::to_string).collect();
        assert_eq!(shown, ["localhost", "127.0.0.1", "::1"]);
        assert_eq!(server.version, 3);
        assert!(!server.is_authority && !server.is_own_issuer);
        assert_eq!(server.issuer.as_deref(), Some("stomp-bridge test ca"));
        assert_eq!(server.subject.as_deref(), Some("stomp-bridge test server"));
        assert_eq!(server.not_before.to_string(), "2020-01-01T00:00:00Z");
        assert_eq!(server.not_after.to_string(), "2120-01-01T00:00:00Z");
        let ca = read("ca.pem");
        assert!(ca.is_authority && ca.is_own_issuer && ca.names.is_empty());
    }

    #[test]
    fn a_name_covers_hosts_as_browsers_have_it() {
        let covers = |name: &str, host: &str| Name::of(name).covers(&Name::of(host));
        for (name, host, expected) in [
            ("Host.Test", "host.test", true),
            ("host.test", "a.host.test", false),
            ("*.host.test", "a.host.test", true),
            ("*.host.test", "host.test", false),
            ("*.host.test", "a.b.host.test", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("*.0.0.1", "10.0.0.1", false),
        ] {
            assert_eq!(covers(name, host), expected, "{name} {host}");
        }
    }

    #[test]
    fn damaged_certificate_is_none_and_no_panic() {
        let good = fixture("server.pem");
        for end in 0..good.len() {
            let cut = CertificateDer::from(good[..end].to_vec());
            assert!(Certificate::read(&cut).is_none(), "{end} bytes");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.to_vec();
                bytes[at] ^= 1 << bit;
                // Whatever it says then, reading it is no panic.
                let _ = Certificate::read(&CertificateDer::from(bytes));
            }
        }
    }
}

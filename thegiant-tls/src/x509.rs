//! Reads the few fields of an X.509 certificate that rustls does not tell: its end and its names.

/// Tags of DER values.
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// Tags of the text types whose bytes are ASCII or UTF-8: `UTF8String`, `PrintableString`, `IA5String`.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Object identifier of the common name, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// Object identifier of the subject alternative names, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Tags of alternative names.
pub(crate) const DNS: u8 = 0x82;
pub(crate) const URI: u8 = 0x86;

/// The fields of a certificate.
pub(crate) struct Certificate<'a> {
    /// The end of the certificate, in seconds since 1970.
    pub(crate) not_after: i64,
    subject: Der<'a>,
    extensions: Der<'a>,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate. Returns `None` if it is malformed.
    pub(crate) fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut signed = Der(Der(certificate).value(SEQUENCE)?);
        let mut fields = Der(signed.value(SEQUENCE)?);
        fields.value(VERSION);
        fields.value(INTEGER)?;
        // The signature algorithm and the issuer.
        fields.value(SEQUENCE)?;
        fields.value(SEQUENCE)?;
        let mut validity = Der(fields.value(SEQUENCE)?);
        validity.next()?;
        let (tag, not_after) = validity.next()?;
        let subject = Der(fields.value(SEQUENCE)?);
        // The public key.
        fields.value(SEQUENCE)?;
        fields.value(ISSUER_ID);
        fields.value(SUBJECT_ID);
        let extensions = fields.value(EXTENSIONS).and_then(|value| Der(value).value(SEQUENCE));
        Some(Certificate {
            not_after: unix_seconds(tag, not_after)?,
            subject,
            extensions: Der(extensions.unwrap_or_default()),
        })
    }

    /// Returns the common names of the subject. Most certificates have one.
    pub(crate) fn common_names(&self) -> impl Iterator<Item = &'a [u8]> {
        let attributes = self.subject.filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| Der(set));
        attributes.filter_map(|(_, attribute)| {
            let mut attribute = Der(attribute);
            let is_name = attribute.value(OBJECT_ID)? == COMMON_NAME;
            let (tag, name) = attribute.next()?;
            (is_name && TEXTS.contains(&tag)).then_some(name)
        })
    }

    /// Returns the alternative names of one kind: [`DNS`] or [`URI`].
    pub(crate) fn alternative_names(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        let names = self.extensions.filter_map(|(_, extension)| {
            let mut extension = Der(extension);
            let has_names = extension.value(OBJECT_ID)? == ALTERNATIVE_NAMES;
            // Whether the extension is critical.
            extension.value(BOOLEAN);
            let names = Der(extension.value(OCTET_STRING)?).value(SEQUENCE)?;
            has_names.then_some(Der(names))
        });
        names.flatten().filter(move |(tag, _)| *tag == kind).map(|(_, name)| name)
    }
}

/// Reads DER values, one after another: each has a tag, a length and contents.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Returns the contents of the next value if it has this tag. Otherwise, the value stays the next one.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, contents) = ahead.next()?;
        (found == tag).then(|| *self = ahead)?;
        Some(contents)
    }
}

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [tag, len, rest @ ..] = self.0 else { return None };
        let (len, rest) = match len {
            0..=0x7f => (usize::from(*len), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(len & 0x7f))?;
                (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((*tag, contents))
    }
}

/// Parses a time, `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as seconds since 1970.
fn unix_seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        // Two digits are a year from 1950 to 2049.
        (UTC_TIME, 12) => ((number(&digits[..2]) + 50) % 100 + 1950, &digits[2..]),
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&rest[at..at + 2]));
    let is_valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    is_valid.then(|| days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March has its leap day at its end, and month lengths that repeat every five months.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // 719,468 days are from 0000-03-01 to 1970-01-01.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value with this tag and these contents.
    fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
        let len = contents.len();
        let head = match u8::try_from(len) {
            Ok(len @ 0..=0x7f) => vec![tag, len],
            Ok(len) => vec![tag, 0x81, len],
            Err(_) => vec![tag, 0x82, (len >> 8) as u8, len as u8],
        };
        [&head, contents].concat()
    }

    fn sample() -> Vec<u8> {
        let name = |text: &[u8]| {
            let attribute = [der(OBJECT_ID, COMMON_NAME), der(TEXTS[0], text)].concat();
            der(SEQUENCE, &der(SET, &der(SEQUENCE, &attribute)))
        };
        let names = [der(DNS, b"a.example"), der(URI, b"urn:a"), der(URI, b"urn:b")].concat();
        let names = der(OCTET_STRING, &der(SEQUENCE, &names));
        let extension = [der(OBJECT_ID, ALTERNATIVE_NAMES), der(BOOLEAN, &[0xff]), names].concat();
        let other = [der(OBJECT_ID, &[0x55, 0x1d, 0x0f]), der(OCTET_STRING, &[3, 2, 1, 6])].concat();
        let extensions = [der(SEQUENCE, &other), der(SEQUENCE, &extension)].concat();
        let times = [der(UTC_TIME, b"260101000000Z"), der(UTC_TIME, b"261201123456Z")].concat();
        let fields = [
            der(VERSION, &der(INTEGER, &[2])),
            der(INTEGER, &[1]),
            der(SEQUENCE, &[]),
            name(b"authority"),
            der(SEQUENCE, &times),
            name(b"worker"),
            der(SEQUENCE, &[0; 300]),
            der(EXTENSIONS, &der(SEQUENCE, &extensions)),
        ];
        der(SEQUENCE, &[der(SEQUENCE, &fields.concat()), der(SEQUENCE, &[]), der(0x03, &[0])].concat())
    }

    #[test]
    fn fields_of_a_certificate() {
        let sample = sample();
        let certificate = Certificate::read(&sample).expect("the certificate is well-formed");
        assert_eq!(certificate.not_after, 1_796_128_496);
        assert_eq!(certificate.common_names().collect::<Vec<_>>(), [b"worker"]);
        assert_eq!(certificate.alternative_names(DNS).collect::<Vec<_>>(), [b"a.example"]);
        assert_eq!(certificate.alternative_names(URI).collect::<Vec<_>>(), [b"urn:a", b"urn:b"]);
    }

    #[test]
    fn times() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "691231235959Z", Some(-1)),
            (UTC_TIME, "000229120000Z", Some(951_825_600)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "500101000000Z", None),
            (UTC_TIME, "20500101000000Z", None),
            (UTC_TIME, "501301000000Z", None),
            (UTC_TIME, "5001010000Z", None),
            (UTC_TIME, "50010100000-Z", None),
            (UTC_TIME, "500101000000", None),
            (INTEGER, "500101000000Z", None),
        ] {
            assert_eq!(unix_seconds(tag, text.as_bytes()), expected, "{text}");
        }
    }

    /// Reads every field, whatever the bytes are.
    fn read_all(bytes: &[u8]) -> usize {
        let Some(certificate) = Certificate::read(bytes) else { return 0 };
        certificate.common_names().count()
            + [DNS, URI].map(|kind| certificate.alternative_names(kind).count()).iter().sum::<usize>()
    }

    #[test]
    fn malformed_certificates_do_not_panic() {
        let sample = sample();
        for end in 0..sample.len() {
            assert_eq!(read_all(&sample[..end]), 0);
        }
        for index in 0..sample.len() {
            for byte in 0..=255 {
                let mut changed = sample.clone();
                changed[index] = byte;
                // More names than there are bytes would be an endless loop.
                assert!(read_all(&changed) < sample.len());
            }
        }
    }
}

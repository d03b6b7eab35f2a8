//! A gzip member (RFC 1952) around a DEFLATE stream.

use miniz_oxide::deflate::compress_to_vec;

/// Magic, DEFLATE, no flags, no time, no hint, an unknown system: the same bytes for the same content.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// Records repeat their names; more effort than this makes them hardly smaller.
const LEVEL: u8 = 4;

/// The content as one member.
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let packed = compress_to_vec(content, LEVEL);
    // The length is counted modulo 2^32, by the format; batches are far shorter.
    let length = u32::try_from(content.len()).unwrap_or_default();
    [&HEAD[..], &packed, &crc32(content).to_le_bytes(), &length.to_le_bytes()].concat()
}

/// The CRC-32 of ISO 3309, bit by bit: a batch takes a millisecond, and a table would only be more code.
fn crc32(content: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !content.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_member_unpacks_to_what_was_packed() {
        for content in [&b""[..], b"a", &b"{\"v\":1}\n".repeat(1000)] {
            let packed = gzip(content);
            let (body, tail) = packed[10..].split_at(packed.len() - 18);
            assert_eq!(miniz_oxide::inflate::decompress_to_vec(body).unwrap(), content);
            assert_eq!(tail[4..], u32::try_from(content.len()).unwrap().to_le_bytes());
        }
        assert!(gzip(&b"{\"v\":1}\n".repeat(1000)).len() < 200);
    }
}

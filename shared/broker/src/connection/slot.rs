//! The hash slot of a namespace in a cluster.

/// The number of hash slots.
const SLOTS: u16 = 16_384;

/// The slot of the keys whose hash tag is that of `prefix`, such as `{longshore}`.
pub(super) fn hash_slot(prefix: &str) -> u16 {
    let tag = prefix
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let hashed = match tag {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => prefix,
    };
    crc16(hashed.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as the cluster specification says.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mixed = crc ^ (u16::from(*byte) << 8);
        (0..8).fold(mixed, |crc: u16, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // As `CLUSTER KEYSLOT` answers.
        assert_eq!(hash_slot("foo"), 12182);
        assert_eq!(hash_slot("{foo}:queue"), 12182);
    }
}

//! Where a key goes: murmur2 as Java clients have it, so that all producers agree; and what others use.

use crate::{Error, Kind, Result};

/// How producers choose a partition by the key, by librdkafka's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partitioner {
    /// `murmur2`, `murmur2_random`: Java's default, and ours.
    #[default]
    Murmur2,
    /// `consistent`, `consistent_random`: librdkafka's default, CRC32.
    Consistent,
    /// `fnv1a`, `fnv1a_random`: Sarama's default.
    Fnv1a,
    /// `random`: not by the key.
    Random,
}

impl Partitioner {
    /// By its name.
    pub fn parse(name: &str) -> Result<Partitioner> {
        match name {
            "murmur2" | "murmur2_random" => Ok(Partitioner::Murmur2),
            "consistent" | "consistent_random" => Ok(Partitioner::Consistent),
            "fnv1a" | "fnv1a_random" => Ok(Partitioner::Fnv1a),
            "random" => Ok(Partitioner::Random),
            _ => Err(Error::new(
                Kind::Usage,
                format!(
                    "partitioner {name:?} is not known; say murmur2_random, consistent_random, fnv1a_random or random"
                ),
            )),
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Partitioner::Murmur2 => "murmur2_random",
            Partitioner::Consistent => "consistent_random",
            Partitioner::Fnv1a => "fnv1a_random",
            Partitioner::Random => "random",
        }
    }

    /// The partition of `key` among `count`; `None`: any.
    pub fn place(self, key: &[u8], count: usize) -> Option<i32> {
        let count = count.max(1) as u32;
        match self {
            Partitioner::Murmur2 => Some(partition_of(key, count as usize)),
            Partitioner::Consistent => Some((crc32fast::hash(key) % count) as i32),
            Partitioner::Fnv1a => Some((fnv1a(key) % count) as i32),
            Partitioner::Random => None,
        }
    }
}

/// FNV-1a, its absolute value as a signed number.
fn fnv1a(key: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = key.iter().fold(0x811c_9dc5, step);
    (hash as i32).unsigned_abs()
}

/// Java's murmur2 of `key`.
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |all, b| all << 8 | u32::from(*b));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of `key` among `count`.
pub fn partition_of(key: &[u8], count: usize) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) % count.max(1) as u32) as i32
}

#[cfg(test)]
mod tests {
    use super::{Partitioner, fnv1a, murmur2};

    /// The vectors of Kafka's own UtilsTest.
    #[test]
    fn as_java() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    /// The vectors of librdkafka's own test, made by Sarama; and CRC32's check value.
    #[test]
    fn as_others() {
        for (key, hash) in [
            ("kafka", 0x0d33_c4e1),
            ("giberish123456789", 0x77a5_8295),
            ("1234", 0x023b_dd03),
            ("", 0x7ee3_623b),
        ] {
            assert_eq!(fnv1a(key.as_bytes()), hash, "{key}");
        }
        let crc = Partitioner::Consistent.place(b"123456789", 1000);
        assert_eq!(crc, Some((0xcbf4_3926_u32 % 1000) as i32));
        assert_eq!(Partitioner::Random.place(b"x", 15), None);
        assert!(Partitioner::parse("mine").is_err());
    }
}

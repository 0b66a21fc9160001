//! XXH3, 64 bit, seed 0, for texts of up to 128 bytes (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
//!
//! Must agree with the `xxhash` package to the bit: these hashes are stored. Longer texts are left to it.

/// The longest text that is hashed here.
pub const MAX_BYTES: usize = 128;

const PRIME64_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME64_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME64_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_MX1: u64 = 0x1656_6791_9E37_79F9;
const PRIME_MX2: u64 = 0x9FB2_1C65_1E98_DF25;

// The first 128 bytes of the specification's default secret.
const SECRET: [u8; 128] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4, 0x6d,
    0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0,
    0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0,
    0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b,
    0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac,
    0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51,
    0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
];

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn xxh64_avalanche(mut h: u64) -> u64 {
    h = (h ^ h >> 33).wrapping_mul(PRIME64_2);
    h = (h ^ h >> 29).wrapping_mul(PRIME64_3);
    h ^ h >> 32
}

fn avalanche(mut h: u64) -> u64 {
    h = (h ^ h >> 37).wrapping_mul(PRIME_MX1);
    h ^ h >> 32
}

fn mix16(bytes: &[u8], at: usize, secret: usize) -> u64 {
    fold(u64_at(bytes, at) ^ u64_at(&SECRET, secret), u64_at(bytes, at + 8) ^ u64_at(&SECRET, secret + 8))
}

/// The hash of a text of at most `MAX_BYTES` bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    match len {
        0 => xxh64_avalanche(u64_at(&SECRET, 56) ^ u64_at(&SECRET, 64)),
        1..=3 => {
            let (first, middle, last) = (u64::from(bytes[0]), u64::from(bytes[len >> 1]), u64::from(bytes[len - 1]));
            let combined = first << 16 | middle << 24 | last | (len as u64) << 8;
            xxh64_avalanche(combined ^ (u32_at(&SECRET, 0) ^ u32_at(&SECRET, 4)))
        }
        4..=8 => {
            let combined = u32_at(bytes, len - 4).wrapping_add(u32_at(bytes, 0) << 32);
            let mut h = combined ^ (u64_at(&SECRET, 8) ^ u64_at(&SECRET, 16));
            h ^= h.rotate_left(49) ^ h.rotate_left(24);
            h = h.wrapping_mul(PRIME_MX2);
            h ^= (h >> 35).wrapping_add(len as u64);
            h = h.wrapping_mul(PRIME_MX2);
            h ^ h >> 28
        }
        9..=16 => {
            let low = u64_at(bytes, 0) ^ (u64_at(&SECRET, 24) ^ u64_at(&SECRET, 32));
            let high = u64_at(bytes, len - 8) ^ (u64_at(&SECRET, 40) ^ u64_at(&SECRET, 48));
            avalanche((len as u64).wrapping_add(low.swap_bytes()).wrapping_add(high).wrapping_add(fold(low, high)))
        }
        _ => {
            assert!(len <= MAX_BYTES, "longer texts are not hashed here");
            let mut h = (len as u64).wrapping_mul(PRIME64_1);
            for round in (0..=(len - 1) / 32).rev() {
                h = h.wrapping_add(mix16(bytes, round * 16, round * 32));
                h = h.wrapping_add(mix16(bytes, len - (round + 1) * 16, round * 32 + 16));
            }
            avalanche(h)
        }
    }
}

//! AES-256-GCM: bytes in, bytes and a tag out.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

pub const TAG_BYTES: usize = 16;

/// For keys that seal one message in their life.
pub(super) const NONCE_ZERO: [u8; 12] = [0; 12];

pub(super) struct NotAuthentic;

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("a key of 32 bytes"))
}

/// Appends the ciphertext of `plain` and its tag.
pub(super) fn seal(
    key_bytes: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) {
    out.reserve(plain.len() + TAG_BYTES);
    let start = out.len();
    out.extend_from_slice(plain);
    let tag = key(key_bytes)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut out[start..],
        )
        .expect("messages are far below the limit of GCM");
    out.extend_from_slice(tag.as_ref());
}

/// `plain` becomes the opened bytes; it holds nothing when they are not authentic.
pub(super) fn open(
    key_bytes: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    sealed: &[u8],
    plain: &mut Vec<u8>,
) -> Result<(), NotAuthentic> {
    let opened = match sealed.split_last_chunk::<TAG_BYTES>() {
        Some((ciphertext, tag)) => {
            // Not cleared first: a buffer that is used again need not be made zero again.
            plain.resize(ciphertext.len(), 0);
            let nonce = Nonce::assume_unique_for_key(nonce);
            key(key_bytes).open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, plain)
        }
        None => Err(aws_lc_rs::error::Unspecified),
    };
    opened.map_err(|_| {
        plain.clear();
        NotAuthentic
    })
}

#[cfg(test)]
mod tests {
    use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead, aead::Payload};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn another_implementation_makes_and_opens_the_same_bytes(
            key: [u8; 32],
            nonce: [u8; 12],
            aad: Vec<u8>,
            plain in proptest::collection::vec(any::<u8>(), 0..5000),
        ) {
            let mut sealed = vec![9];
            seal(&key, nonce, &aad, &plain, &mut sealed);
            let other = Aes256Gcm::new(&key.into());
            let theirs = other.encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).unwrap();
            prop_assert_eq!(&sealed[1..], &theirs[..]);
            let mut opened = vec![1, 2, 3];
            prop_assert!(open(&key, nonce, &aad, &theirs, &mut opened).is_ok());
            prop_assert_eq!(opened, plain);
        }

        #[test]
        fn one_flipped_bit_anywhere_is_noticed(key: [u8; 32], plain: [u8; 40], at in 0usize..448) {
            let mut sealed = Vec::new();
            seal(&key, NONCE_ZERO, b"about", &plain, &mut sealed);
            sealed[at / 8] ^= 1 << (at % 8);
            let mut opened = Vec::new();
            prop_assert!(open(&key, NONCE_ZERO, b"about", &sealed, &mut opened).is_err());
            prop_assert!(opened.is_empty());
        }
    }

    #[test]
    fn less_than_a_tag_is_not_authentic() {
        let mut opened = Vec::new();
        for length in 0..TAG_BYTES {
            assert!(open(&[0; 32], NONCE_ZERO, b"", &[0; 16][..length], &mut opened).is_err());
        }
    }
}

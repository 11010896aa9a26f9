//! Bytes that leave memory for a while, and only this run of the program may read again.

use zeroize::Zeroizing;

use super::{Error, aead};

const ABOUT: &[u8] = b"icecore v1 scratch";

/// A key that is drawn for one use and kept nowhere: what it sealed is lost with it.
pub struct ScratchKey(Zeroizing<[u8; 32]>);

/// Where a block stands among all that one key seals. Each number seals one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScratchNumber {
    pub run: u32,
    pub block: u64,
}

impl ScratchKey {
    /// `bytes` come from chance and were never a key before.
    pub fn new(bytes: [u8; 32]) -> Self {
        ScratchKey(Zeroizing::new(bytes))
    }

    /// Appends the sealed bytes of `plain`, which are `TAG_BYTES` longer. The caller seals with
    /// each number once.
    pub fn seal(&self, number: ScratchNumber, plain: &[u8], out: &mut Vec<u8>) {
        aead::seal(&self.0, nonce(number), ABOUT, plain, out);
    }

    /// `plain` becomes what was sealed under this number.
    pub fn open(
        &self,
        number: ScratchNumber,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), Error> {
        aead::open(&self.0, nonce(number), ABOUT, sealed, plain)
            .map_err(|_| Error::NotAuthentic { what: "a block of a temporary file" })
    }
}

fn nonce(number: ScratchNumber) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&number.run.to_le_bytes());
    nonce[4..].copy_from_slice(&number.block.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_under_its_own_number_only() {
        let key = ScratchKey::new([7; 32]);
        let mut sealed = Vec::new();
        key.seal(ScratchNumber { run: 1, block: 2 }, b"plain", &mut sealed);
        let mut plain = Vec::new();
        key.open(ScratchNumber { run: 1, block: 2 }, &sealed, &mut plain).unwrap();
        assert_eq!(plain, b"plain");
        for number in [ScratchNumber { run: 2, block: 1 }, ScratchNumber { run: 1, block: 3 }] {
            assert!(key.open(number, &sealed, &mut plain).is_err());
        }
        let other = ScratchKey::new([8; 32]);
        assert!(other.open(ScratchNumber { run: 1, block: 2 }, &sealed, &mut plain).is_err());
    }
}

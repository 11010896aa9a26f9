//! A reader of the format written from docs/format.md alone, with other crates for its AEAD, and
//! nothing of icecore's: what it can read, the page describes.

mod golden;
mod repository;
mod whole;

use std::collections::HashMap;

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use zstd::zstd_safe::DCtx;

pub struct SecondReader {
    pub repo_id: [u8; 16],
    master: [u8; 32],
}

#[derive(Debug, PartialEq, Eq)]
pub struct Blob {
    pub kind: u8,
    pub id: [u8; 32],
    pub plain: Vec<u8>,
}

fn open(key: [u8; 32], nonce: [u8; 12], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(&key.into())
        .decrypt(&nonce.into(), Payload { msg: sealed, aad })
        .expect("authentic")
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Slot: the repository and the master key.
pub fn open_slot(password: &[u8], slot: &[u8]) -> SecondReader {
    assert_eq!(&slot[..10], b"icecslot\x01\x00");
    let json_len = u16::from_le_bytes([slot[10], slot[11]]) as usize;
    let json: serde_json::Value = serde_json::from_slice(&slot[12..12 + json_len]).unwrap();
    let number = |name: &str| json["params"][name].as_u64().unwrap() as u32;
    let params =
        argon2::Params::new(number("memory_kib"), number("passes"), number("lanes"), Some(64));
    let salt = hex::decode(json["salt"].as_str().unwrap()).unwrap();
    let mut okm = [0; 64];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params.unwrap())
        .hash_password_into(password, &salt, &mut okm)
        .unwrap();
    let (about, rest) = slot.split_at(12 + json_len);
    let commitment = blake3::keyed_hash(&okm[32..].try_into().unwrap(), about);
    assert_eq!(&rest[..32], commitment.as_bytes());
    let aad = &slot[..about.len() + 32];
    let nonce = rest[32..44].try_into().unwrap();
    let master = open(okm[..32].try_into().unwrap(), nonce, aad, &rest[44..]);
    let repo_id = hex::decode(json["repo_id"].as_str().unwrap()).unwrap();
    SecondReader { repo_id: repo_id.try_into().unwrap(), master: master.try_into().unwrap() }
}

impl SecondReader {
    pub fn new(master: [u8; 32], repo_id: [u8; 16]) -> Self {
        SecondReader { repo_id, master }
    }

    pub fn sub(&self, purpose: &str) -> [u8; 32] {
        let material = [&self.master[..], &self.repo_id].concat();
        blake3::derive_key(&format!("icecore v1 {purpose}"), &material)
    }

    pub fn blob_id(&self, kind: u8, plain: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.sub("id"), &[&[kind], plain].concat()).as_bytes()
    }

    /// The plain bytes of a small object of this kind and name.
    pub fn object(&self, kind: u8, name: &str, object: &[u8]) -> Vec<u8> {
        assert_eq!(&object[..8], b"icecctrl");
        assert_eq!(object[8..10], [1, 0]);
        assert_eq!(object[10], kind);
        assert_eq!(object[11..27], self.repo_id);
        let frame = self.object_body(kind, name, &object[27..59], &object[59..]);
        match frame[0] {
            0 => frame[5..].to_vec(),
            1 => zstd::bulk::decompress(&frame[5..], u32_at(&frame, 1)).unwrap(),
            other => panic!("frame {other}"),
        }
    }

    fn object_body(&self, kind: u8, name: &str, salt: &[u8], sealed: &[u8]) -> Vec<u8> {
        let purpose = self.sub(match kind {
            1 => "config",
            8 | 9 => "index",
            _ => "control",
        });
        let about = [salt, &[kind], name.as_bytes()].concat();
        let key = *blake3::keyed_hash(&purpose, &about).as_bytes();
        let aad = [&[1, 0], &self.repo_id[..], &[kind], name.as_bytes()].concat();
        open(key, [0; 12], &aad, sealed)
    }

    pub fn table(&self, pack: &[u8]) -> Vec<u8> {
        assert_eq!(&pack[..10], b"icecpack\x01\x00");
        assert_eq!(&pack[pack.len() - 8..], b"packends");
        let end = pack.len() - 12;
        let start = end - u32_at(pack, end);
        self.object_body(9, "", &pack[10..42], &pack[start..end])
    }

    /// Every blob of a pack, in its order. The bases of deltas lie before them.
    pub fn pack(&self, bytes: &[u8]) -> Vec<Blob> {
        let mut known = HashMap::new();
        let mut opened = Vec::new();
        for sealed in self.rows(bytes) {
            let base = sealed.base().map(|base| -> &Vec<u8> { &known[&base] });
            let plain = self.blob(&sealed, base.map(Vec::as_slice));
            known.insert(sealed.id(), plain.clone());
            opened.push(Blob { kind: sealed.row[32] & 15, id: sealed.id(), plain });
        }
        opened
    }

    fn rows<'a>(&self, bytes: &'a [u8]) -> Vec<SealedBlob<'a>> {
        let table = self.table(bytes);
        let mut rows = &table[4..];
        let mut blobs = &bytes[42..bytes.len() - 12 - 16 - table.len()];
        let mut found = Vec::new();
        for _ in 0..u32_at(&table, 0) {
            let codec_bytes = if rows[32] >> 4 == 2 { 34 } else { 0 };
            let (row, left) = rows.split_at(41 + codec_bytes);
            let (sealed, after) = blobs.split_at(u32_at(row, 33));
            (rows, blobs) = (left, after);
            found.push(SealedBlob { salt: &bytes[10..42], row: row.to_vec(), sealed });
        }
        assert!(rows.is_empty() && blobs.is_empty());
        found
    }

    fn blob(&self, found: &SealedBlob, base: Option<&[u8]>) -> Vec<u8> {
        let (id, row) = (found.id(), &found.row);
        let (kind, codec) = (row[32] & 15, row[32] >> 4);
        let codec_bytes = [&[codec], &row[41..]].concat();
        let purpose = self.sub(if kind == 0 { "data" } else { "node" });
        let about = [found.salt, &id, &codec_bytes].concat();
        let key = *blake3::keyed_hash(&purpose, &about).as_bytes();
        let raw_len = &row[37..41];
        let aad = [&[1, 0], &self.repo_id[..], &[kind], &id, raw_len, &codec_bytes].concat();
        let squeezed = open(key, [0; 12], &aad, found.sealed);
        let mut plain = Vec::with_capacity(u32_at(raw_len, 0));
        match codec {
            0 => plain = squeezed,
            1 => drop(DCtx::create().decompress(&mut plain, &squeezed).unwrap()),
            2 => {
                let mut context = DCtx::create();
                context.ref_prefix(base.expect("a delta has a base")).unwrap();
                context.decompress(&mut plain, &squeezed).unwrap();
            }
            other => panic!("codec {other}"),
        }
        assert_eq!(self.blob_id(kind, &plain), id);
        plain
    }
}

/// A row of a pack's table, and the bytes it speaks of.
struct SealedBlob<'a> {
    salt: &'a [u8],
    row: Vec<u8>,
    sealed: &'a [u8],
}

impl SealedBlob<'_> {
    fn id(&self) -> [u8; 32] {
        self.row[..32].try_into().unwrap()
    }

    fn base(&self) -> Option<[u8; 32]> {
        (self.row[32] >> 4 == 2).then(|| self.row[41..73].try_into().unwrap())
    }
}

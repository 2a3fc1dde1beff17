//! The encrypted archive of a backup: one file, written and read in order.
//!
//! ```text
//! header   = "fairveil-backup\n" ‖ version(1) ‖ log2 n of scrypt(1) ‖ salt(32)
//! keys     = scrypt(passphrase, salt, n, r = 8, p = 1, 64 bytes)
//! check    = HMAC-SHA256(keys[32..64], header)                                         32 bytes
//! chunk i  = ChaCha20-Poly1305(keys[0..32], nonce i, no additional data), of 65,536 bytes of the contents;
//!            the last one has 0 to 65,536
//! nonce i  = i as 11 bytes, big-endian ‖ 1 if it is the last chunk, else 0
//! contents = entry ‖ … ‖ 0
//! entry    = 1 ‖ length of the name(2) ‖ name ‖ length(8) ‖ bytes
//! ```
//!
//! The salt is fresh for every archive, and so are its keys. Numbers are big-endian. Names are relative
//! paths.
//!
//! # Invariants
//!
//! 1. A wrong passphrase, another version and damage are three different errors.
//! 2. Nothing is handed out that is not authenticated; an archive that is cut off, at a chunk or
//!    elsewhere, or that goes on after its end, is damaged.
//! 3. An archive can't make its reader use more than 1 GiB of memory.
//! 4. A name never leads out of the folder that it is unpacked into.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use fairveil_keygen::keystore::Passphrase;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"fairveil-backup\n";
const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 2 + SALT_BYTES;
const CHECK_BYTES: usize = 32;
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
/// 1 GiB.
const MAX_LOG_N: u8 = 20;
const MAX_NAME_BYTES: u16 = 4_096;

/// Why an archive can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a backup of fairveil")]
    Magic,
    #[error("the archive has version {actual}, this program reads version {VERSION}")]
    Version { actual: u8 },
    #[error("the archive asks for scrypt with n = 2^{log_n}, at most 2^{MAX_LOG_N} is computed")]
    Cost { log_n: u8 },
    #[error("wrong passphrase")]
    WrongPassphrase,
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    #[error("the archive names {0:?}, which leads out of its folder")]
    Name(PathBuf),
}

struct Keys {
    chunks: LessSafeKey,
    check: hmac::Key,
}

fn keys(passphrase: &Passphrase, log_n: u8, salt: &[u8]) -> Result<Keys, ArchiveError> {
    let cost = ArchiveError::Cost { log_n };
    if !(1..=MAX_LOG_N).contains(&log_n) {
        return Err(cost);
    }
    // The length in the parameters is of a password hash, not of what is derived here.
    let Ok(params) = scrypt::Params::new(log_n, 8, 1, 32) else { return Err(cost) };
    let mut derived = Zeroizing::new([0; 64]);
    scrypt::scrypt(passphrase.expose_bytes(), salt, &params, &mut derived[..])
        .map_err(|_| ArchiveError::Damaged("key"))?;
    let chunks = UnboundKey::new(&CHACHA20_POLY1305, &derived[..32])
        .map_err(|_| ArchiveError::Damaged("key"))?;
    let check = hmac::Key::new(hmac::HMAC_SHA256, &derived[32..]);
    Ok(Keys { chunks: LessSafeKey::new(chunks), check })
}

/// Whether a chunk is the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chunk {
    More,
    Last,
}

fn nonce(number: u64, chunk: Chunk) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = u8::from(chunk == Chunk::Last);
    Nonce::assume_unique_for_key(bytes)
}

/// Writes an archive.
pub(super) struct Writer<W> {
    file: W,
    key: LessSafeKey,
    number: u64,
    waiting: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins one, with a fresh salt.
    pub(super) fn new(
        mut file: W,
        passphrase: &Passphrase,
        log_n: u8,
        salt: [u8; SALT_BYTES],
    ) -> Result<Self, ArchiveError> {
        let header = [&MAGIC[..], &[VERSION, log_n], &salt].concat();
        let Keys { chunks, check } = keys(passphrase, log_n, &salt)?;
        file.write_all(&header)?;
        file.write_all(hmac::sign(&check, &header).as_ref())?;
        Ok(Self { file, key: chunks, number: 0, waiting: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Adds a file of this many bytes.
    pub(super) fn add(
        &mut self,
        name: &Path,
        length: u64,
        contents: &mut impl Read,
    ) -> Result<(), ArchiveError> {
        let text = name.to_str().ok_or_else(|| ArchiveError::Name(name.to_path_buf()))?;
        let too_long = || ArchiveError::Name(name.to_path_buf());
        let bytes = u16::try_from(text.len()).map_err(|_| too_long())?;
        if bytes > MAX_NAME_BYTES {
            return Err(too_long());
        }
        self.put(&[1])?;
        self.put(&bytes.to_be_bytes())?;
        self.put(text.as_bytes())?;
        self.put(&length.to_be_bytes())?;
        let mut left = length;
        let mut buffer = vec![0; CHUNK_BYTES];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = contents.read(&mut buffer[..most])?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.put(&buffer[..read])?;
            left -= read as u64;
        }
        Ok(())
    }

    /// Ends it; the file, for syncing.
    pub(super) fn end(mut self) -> Result<W, ArchiveError> {
        self.put(&[0])?;
        self.seal(Chunk::Last)?;
        self.file.flush()?;
        Ok(self.file)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        while !bytes.is_empty() {
            if self.waiting.len() == CHUNK_BYTES {
                self.seal(Chunk::More)?;
            }
            let fits = bytes.len().min(CHUNK_BYTES - self.waiting.len());
            let (now, later) = bytes.split_at(fits);
            self.waiting.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn seal(&mut self, chunk: Chunk) -> Result<(), ArchiveError> {
        let nonce = nonce(self.number, chunk);
        self.number += 1;
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.waiting)
            .map_err(|_| ArchiveError::Damaged("chunk"))?;
        self.file.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }
}

/// Reads an archive.
pub(super) struct Reader<R> {
    file: R,
    key: LessSafeKey,
    number: u64,
    chunk: Vec<u8>,
    at: usize,
    last: Chunk,
}

impl<R: Read> Reader<R> {
    /// Reads and judges the header.
    pub(super) fn new(mut file: R, passphrase: &Passphrase) -> Result<Self, ArchiveError> {
        let mut header = [0; HEADER_BYTES];
        let read = read_up_to(&mut file, &mut header)?;
        if read < MAGIC.len() || header[..MAGIC.len()] != MAGIC[..] {
            return Err(ArchiveError::Magic);
        }
        if header[MAGIC.len()] != VERSION {
            return Err(ArchiveError::Version { actual: header[MAGIC.len()] });
        }
        let mut check = [0; CHECK_BYTES];
        if read < HEADER_BYTES || read_up_to(&mut file, &mut check)? < CHECK_BYTES {
            return Err(ArchiveError::Damaged("its header is cut off"));
        }
        let (log_n, salt) = (header[MAGIC.len() + 1], &header[MAGIC.len() + 2..]);
        let keys = keys(passphrase, log_n, salt)?;
        hmac::verify(&keys.check, &header, &check).map_err(|_| ArchiveError::WrongPassphrase)?;
        let chunk = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        Ok(Self { file, key: keys.chunks, number: 0, chunk, at: 0, last: Chunk::More })
    }

    /// The name and the length of the next file; none after the last.
    pub(super) fn next_file(&mut self) -> Result<Option<(PathBuf, u64)>, ArchiveError> {
        let [more] = self.take()?;
        match more {
            0 => return self.ended().map(|()| None),
            1 => {}
            _ => return Err(ArchiveError::Damaged("an entry of another kind")),
        }
        let length = u16::from_be_bytes(self.take()?);
        if length > MAX_NAME_BYTES {
            return Err(ArchiveError::Damaged("a name is too long"));
        }
        let mut name = vec![0; usize::from(length)];
        self.fill(&mut name)?;
        let name = String::from_utf8(name).map_err(|_| ArchiveError::Damaged("a name"))?;
        let name = PathBuf::from(name);
        let mut parts = name.components();
        if !parts.all(|part| matches!(part, Component::Normal(_))) || name.as_os_str().is_empty() {
            return Err(ArchiveError::Name(name));
        }
        Ok(Some((name, u64::from_be_bytes(self.take()?))))
    }

    /// Writes the next file's bytes.
    pub(super) fn contents(
        &mut self,
        length: u64,
        to: &mut impl Write,
    ) -> Result<(), ArchiveError> {
        let mut left = length;
        while left > 0 {
            self.need()?;
            let rest = &self.chunk[self.at..];
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            to.write_all(&rest[..now])?;
            self.at += now;
            left -= now as u64;
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        let length = bytes.len() as u64;
        let mut to = bytes;
        self.contents(length, &mut to)
    }

    /// Sees to it that there is at least one byte.
    fn need(&mut self) -> Result<(), ArchiveError> {
        while self.at == self.chunk.len() {
            if self.last == Chunk::Last {
                return Err(ArchiveError::Damaged("its contents are cut off"));
            }
            self.open()?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), ArchiveError> {
        self.chunk.resize(CHUNK_BYTES + TAG_BYTES, 0);
        let read = read_up_to(&mut self.file, &mut self.chunk)?;
        if read < TAG_BYTES {
            return Err(ArchiveError::Damaged("it is cut off"));
        }
        self.chunk.truncate(read);
        let sealed = self.chunk.clone();
        // A whole chunk may be the last one too.
        for chunk in [Chunk::More, Chunk::Last] {
            if chunk == Chunk::More && read < CHUNK_BYTES + TAG_BYTES {
                continue;
            }
            self.chunk.clone_from(&sealed);
            let nonce = nonce(self.number, chunk);
            if let Ok(opened) = self.key.open_in_place(nonce, Aad::empty(), &mut self.chunk) {
                let length = opened.len();
                self.chunk.truncate(length);
                (self.at, self.last) = (0, chunk);
                self.number += 1;
                return Ok(());
            }
        }
        self.chunk.clear();
        self.at = 0;
        Err(ArchiveError::Damaged("a chunk is not what was written, or it is cut off"))
    }

    /// Nothing may follow.
    fn ended(&mut self) -> Result<(), ArchiveError> {
        if self.at == self.chunk.len() && self.last == Chunk::More {
            self.open()?;
        }
        let more = read_up_to(&mut self.file, &mut [0; 1])?;
        if self.at != self.chunk.len() || self.last == Chunk::More || more > 0 {
            return Err(ArchiveError::Damaged("something follows its end"));
        }
        Ok(())
    }
}

/// As many bytes as there are.
fn read_up_to(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match file.read(&mut bytes[at..])? {
            0 => break,
            read => at += read,
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG_N: u8 = 4;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).expect("a passphrase")
    }

    fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let writer = Writer::new(Vec::new(), &passphrase("p"), LOG_N, [7; 32]);
        let mut writer = writer.expect("a writer");
        for (name, bytes) in files {
            let added = writer.add(Path::new(name), bytes.len() as u64, &mut bytes.as_slice());
            added.expect("added");
        }
        writer.end().expect("ended")
    }

    fn unpack(bytes: &[u8], text: &str) -> Result<Vec<(PathBuf, Vec<u8>)>, ArchiveError> {
        let mut reader = Reader::new(bytes, &passphrase(text))?;
        let mut files = Vec::new();
        while let Some((name, length)) = reader.next_file()? {
            let mut contents = Vec::new();
            reader.contents(length, &mut contents)?;
            files.push((name, contents));
        }
        Ok(files)
    }

    #[test]
    fn what_is_packed_is_unpacked_whatever_its_size() {
        // Around the ends of chunks.
        for length in [0, 1, 65_500, 65_515, 65_516, 65_517, 65_536, 131_072, 200_000] {
            let contents: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let bytes = archive(&[("data/state.redb", contents.clone()), ("k", vec![1])]);
            let files = unpack(&bytes, "p").expect("opens");
            assert_eq!(files[0], (PathBuf::from("data/state.redb"), contents), "{length}");
            assert_eq!(files[1].1, [1]);
        }
        assert!(unpack(&archive(&[]), "p").expect("opens").is_empty());
    }

    #[test]
    fn invariant_1_passphrase_version_and_damage_are_told_apart() {
        let bytes = archive(&[("a", vec![5; 100])]);
        assert!(matches!(unpack(&bytes, "q"), Err(ArchiveError::WrongPassphrase)));
        let changed = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            unpack(&bytes, "p").expect_err("changed")
        };
        assert!(matches!(changed(0, b'F'), ArchiveError::Magic));
        assert!(matches!(changed(16, 2), ArchiveError::Version { actual: 2 }));
        assert!(matches!(
            changed(bytes.len() - 1, !bytes[bytes.len() - 1]),
            ArchiveError::Damaged(_)
        ));
        // Invariant 3.
        assert!(matches!(changed(17, 40), ArchiveError::Cost { log_n: 40 }));
    }

    #[test]
    fn invariant_2_every_byte_counts_and_so_does_the_length() {
        let bytes = archive(&[("a", vec![5; 70_000]), ("b", vec![6; 10])]);
        for at in (HEADER_BYTES..bytes.len()).step_by(97) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(unpack(&bytes, "p").is_err(), "byte {at}");
        }
        let first = HEADER_BYTES + CHECK_BYTES + CHUNK_BYTES + TAG_BYTES;
        for kept in [10, 40, HEADER_BYTES + CHECK_BYTES, first, first + 5, bytes.len() - 1] {
            assert!(unpack(&bytes[..kept], "p").is_err(), "{kept} bytes");
        }
        assert!(unpack(&[&bytes[..], &[0]].concat(), "p").is_err());
        // The chunks of one archive are not those of another, nor in another order.
        let swapped = [&bytes[..first], &bytes[HEADER_BYTES + CHECK_BYTES..first]].concat();
        assert!(unpack(&swapped, "p").is_err());
    }

    #[test]
    fn invariant_4_names_stay_in_their_folder() {
        for name in ["/etc/passwd", "../up", "data/../../up", "", "./here"] {
            let error = unpack(&archive(&[(name, vec![1])]), "p");
            assert!(matches!(error, Err(ArchiveError::Name(_))), "{name:?}");
        }
    }
}

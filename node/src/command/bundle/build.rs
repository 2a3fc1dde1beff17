//! `bundle build` and `bundle seal`: everything that sees the bundle in the clear.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use fairveil_client::{
    file::{File, SealedFile, UnsealedFile, hex_bytes},
    network, seal,
};
use fairveil_crypto::{Height, envelope::PayerSecret, seal::SealRandomness};
use fairveil_mempool::{
    Bundle, Bytes, Leg, Policy,
    limits::{HORIZON_HEIGHTS, LAST_REPORT_HEIGHTS},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::{
    disk::{self, Readers},
    error::CommandError,
    network as reach,
};
use crate::{
    cli::{self, PolicyKind, exit},
    process::random,
};

/// The longest file of one transaction, in bytes.
const MAX_TRANSACTION_FILE_BYTES: usize = 1 << 20;
/// Heights between what the sequencers said and the first one at which the bundle is valid.
const NEXT: u64 = 1;

/// For how long a bundle may be ordered unless it is said.
const EXPIRES_IN: &str = "60s";

/// What a trader decides about a sealed bundle, as it is given.
pub(super) struct Choices<'a> {
    pub(super) nonce: Option<u64>,
    pub(super) expires_in: Option<&'a str>,
    pub(super) valid_from: Option<u64>,
    pub(super) anyway: bool,
}

/// `bundle build`.
pub(super) fn build(
    transactions: &[String],
    files: &[String],
    policy: PolicyKind,
    (valid_from, expires_in): (Option<u64>, Option<&str>),
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let mut legs: BTreeMap<u64, Vec<Bytes>> = BTreeMap::new();
    for argument in transactions {
        let (chain_id, raw) = transaction(argument)?;
        legs.entry(chain_id).or_default().push(raw.into());
    }
    for argument in files {
        let (chain_id, raw) = transaction_file(argument)?;
        legs.entry(chain_id).or_default().extend(raw.into_iter().map(Bytes::from));
    }
    expires_in.map(Window::parse).transpose()?;
    let legs = legs.into_iter().map(|(chain_id, transactions)| Leg { chain_id, transactions });
    let policy = match policy {
        PolicyKind::Include => Policy::Include,
        PolicyKind::Execute => Policy::Execute,
    };
    let bundle = Bundle::new(policy, legs.collect())
        .map_err(|error| CommandError::Usage(error.to_string()))?;
    let expires_in = expires_in.map(str::to_owned);
    let file = UnsealedFile { valid_from, expires_in, ..UnsealedFile::new(&bundle) };
    let file = File::Unsealed(file);
    disk::write(out, file.to_json().as_bytes(), Readers::Owner)?;
    let (legs, bytes) = (bundle.legs().len(), bundle.encode().len());
    let class = bundle.smallest_class();
    if json {
        println!(
            "{}",
            json!({
                "file": out, "legs": legs, "bytes": bytes, "class": class.get(),
                "padded_bytes": class.plaintext_bytes(),
            })
        );
    } else {
        println!(
            "{}: {legs} legs, {bytes} bytes, sealed as {} bytes (class {}). It is in the clear: \
             keep it to yourself until it is released.",
            out.display(),
            class.plaintext_bytes(),
            class.get(),
        );
    }
    Ok(exit::OK)
}

/// `CHAIN_ID:0xRAW` or `CHAIN_ID:@FILE`.
fn transaction(argument: &str) -> Result<(u64, Vec<u8>), CommandError> {
    let usage = |why: &str| {
        let shown: String = argument.chars().take(40).collect();
        CommandError::Usage(format!(
            "--tx {shown}: {why}; give CHAIN_ID:0xRAW or CHAIN_ID:@FILE, e.g. 901:0x02f8..."
        ))
    };
    let (chain_id, text) = argument.split_once(':').ok_or_else(|| usage("no chain id"))?;
    let chain_id = chain_id.parse().map_err(|_| usage("the chain id is not a number"))?;
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(file) => {
            let bytes = disk::read(Path::new(file), MAX_TRANSACTION_FILE_BYTES)?;
            String::from_utf8(bytes).map_err(|_| usage("the file is not text"))?.trim().to_owned()
        }
    };
    let raw = hex_bytes(&text).ok_or_else(|| usage("the transaction is not 0x and hex"))?;
    Ok((chain_id, raw))
}

/// `CHAIN_ID:FILE`, a transaction a line.
fn transaction_file(argument: &str) -> Result<(u64, Vec<Vec<u8>>), CommandError> {
    let usage = |why: &str| {
        CommandError::Usage(format!(
            "--transactions {argument}: {why}; give CHAIN_ID:FILE, e.g. 901:mint.txt"
        ))
    };
    let (chain_id, file) = argument.split_once(':').ok_or_else(|| usage("no chain id"))?;
    let chain_id = chain_id.parse().map_err(|_| usage("the chain id is not a number"))?;
    let bytes = disk::read(Path::new(file), MAX_TRANSACTION_FILE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| usage("the file is not text"))?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let raw = lines.map(|(number, line)| {
        hex_bytes(line).ok_or_else(|| usage(&format!("line {number} is not 0x and hex")))
    });
    let raw = raw.collect::<Result<Vec<_>, _>>()?;
    if raw.is_empty() { Err(usage("the file has no transaction")) } else { Ok((chain_id, raw)) }
}

/// `bundle seal`.
pub(super) fn seal(
    args: &cli::Network,
    bundle: &Path,
    payer: &Path,
    choices: &Choices<'_>,
    out: &Path,
    json: bool,
) -> Result<u8, CommandError> {
    let (contents, file) = super::read_unsealed_file(bundle)?;
    let expires_in = choices.expires_in.or(file.expires_in.as_deref()).unwrap_or(EXPIRES_IN);
    let window = Window::parse(expires_in)?;
    let (network, endpoints) = reach::reached(args)?;
    if let (Some(failed), false) = (seal::foreseen(&network, &contents), choices.anyway) {
        let cure = failed.cure();
        return Err(CommandError::Usage(format!("it would fail with {failed}: {cure}")));
    }
    let payer = payer_secret(payer)?;
    let tip = reach::run(network::tip(&network, &endpoints))?
        .map_err(|error| CommandError::Unreachable(error.to_string()))?;
    let heights = window.heights(tip.loaded_interval_ms);
    let first = tip.height.saturating_add(NEXT);
    let valid_from = choices.valid_from.or(file.valid_from).map_or(first, Height::new);
    // The window is open for that long from when it opens, which is never in the past.
    let expires_at = valid_from.max(first).saturating_add(heights - 1);
    check_window(valid_from, expires_at, &tip)?;
    let payer_nonce = match choices.nonce {
        Some(nonce) => nonce,
        None => u64::from_be_bytes(random()?),
    };
    let terms = seal::Terms { valid_from, expires_at, payer_nonce };
    let uniform = Zeroizing::new(random::<{ SealRandomness::UNIFORM_BYTES }>()?);
    let sealed = SealRandomness::from_uniform(&uniform)
        .map_err(|error| CommandError::Check(error.to_string()))
        .and_then(|randomness| {
            seal::seal(&network, &terms, &payer, &contents, randomness)
                .map_err(|error| CommandError::Usage(error.to_string()))
        })?;
    let file = File::Sealed(SealedFile::new(&sealed));
    disk::write_new(out, file.to_json().as_bytes(), Readers::All)?;
    let shown = Sealed { id: sealed.id().to_string(), terms, heights, tip, out: out.to_path_buf() };
    shown.print(&payer.payer().to_string(), json);
    Ok(exit::OK)
}

/// Whether sequencers that stand there could admit and report a bundle with this window.
fn check_window(
    valid_from: Height,
    expires_at: Height,
    tip: &network::Tip,
) -> Result<(), CommandError> {
    let (height, interval) = (tip.height, tip.loaded_interval_ms);
    let last = height.saturating_add(HORIZON_HEIGHTS);
    if expires_at > last {
        let minutes = HORIZON_HEIGHTS.saturating_mul(interval) / 60_000;
        return Err(CommandError::Usage(format!(
            "the window would end at height {expires_at}; it may end at {last} at most, \
             {HORIZON_HEIGHTS} heights ahead, which take about {minutes} minutes under load: give an \
             earlier --valid-from or a shorter --expires-in (a height takes {interval} ms)"
        )));
    }
    let least = valid_from.saturating_sub(1).max(height).saturating_add(LAST_REPORT_HEIGHTS);
    if expires_at < least {
        return Err(CommandError::Usage(format!(
            "the window would end at height {expires_at}, the chain is at {height}; it has to end at \
             {least} or later, because nobody begins to report a bundle in the last \
             {LAST_REPORT_HEIGHTS} heights: give a longer --expires-in (a height takes {interval} ms)"
        )));
    }
    Ok(())
}

/// `bundle height`.
pub(super) fn height(args: &cli::Network, json: bool) -> Result<u8, CommandError> {
    let (network, endpoints) = reach::reached(args)?;
    let tip = reach::run(network::tip(&network, &endpoints))?
        .map_err(|error| CommandError::Unreachable(error.to_string()))?;
    if json {
        let interval = tip.loaded_interval_ms;
        println!("{}", json!({ "height": tip.height, "loaded_interval_ms": interval }));
    } else {
        println!("{}", tip.height);
    }
    Ok(exit::OK)
}

struct Sealed {
    id: String,
    terms: seal::Terms,
    heights: u64,
    tip: network::Tip,
    out: PathBuf,
}

impl Sealed {
    fn print(&self, payer: &str, json: bool) {
        let seal::Terms { valid_from, expires_at, payer_nonce } = self.terms;
        let network::Tip { height, loaded_interval_ms, .. } = self.tip;
        if json {
            let value = json!({
                "id": self.id, "file": self.out, "payer": payer, "payer_nonce": payer_nonce,
                "valid_from": valid_from, "expires_at": expires_at, "height": height,
                "loaded_interval_ms": loaded_interval_ms, "heights": self.heights,
            });
            println!("{value}");
            return;
        }
        println!("{}", self.id);
        println!("  file     {}", self.out.display());
        println!("  payer    {payer}, nonce {payer_nonce}");
        println!(
            "  window   heights {valid_from} to {expires_at}: {} heights of {loaded_interval_ms} ms \
             each, the chain is at {height}",
            self.heights,
        );
        println!("  There is no cancel: once admitted, the end of the window is the only way out.");
    }
}

/// For how long a bundle may be ordered, as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Heights(u64),
    Milliseconds(u64),
}

impl Window {
    fn parse(text: &str) -> Result<Self, CommandError> {
        let usage = || {
            CommandError::Usage(format!(
                "--expires-in {text}: give a time such as 30s or 5m, or a number of heights \
                 such as 300h"
            ))
        };
        let digits = text.chars().take_while(char::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| usage())?;
        let window = match unit {
            "h" => Some(Self::Heights(number)),
            "ms" => Some(Self::Milliseconds(number)),
            "s" => number.checked_mul(1_000).map(Self::Milliseconds),
            "m" => number.checked_mul(60_000).map(Self::Milliseconds),
            _ => None,
        };
        window.filter(|_| number > 0).ok_or_else(usage)
    }

    fn heights(self, loaded_interval_ms: u64) -> u64 {
        match self {
            Self::Heights(heights) => heights,
            Self::Milliseconds(duration_ms) => seal::heights(duration_ms, loaded_interval_ms),
        }
    }
}

/// The payer's key: made at its first use.
fn payer_secret(path: &Path) -> Result<PayerSecret, CommandError> {
    if !path.exists() {
        let fresh = Zeroizing::new(random::<32>()?);
        let text = Zeroizing::new(format!(
            "{}\n",
            Zeroizing::new(alloy_primitives::hex::encode_prefixed(fresh.as_slice())).as_str()
        ));
        disk::write_new(path, text.as_bytes(), Readers::Owner)?;
    }
    let bytes = Zeroizing::new(disk::read_secret(path, 1 << 10)?);
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned());
    let secret = hex_bytes(&text).map(Zeroizing::new);
    let secret = secret.and_then(|bytes| <[u8; 32]>::try_from(&bytes[..]).ok()).map(Zeroizing::new);
    let secret = secret.ok_or_else(|| {
        CommandError::file(path, &"not a payer's key: 0x and 64 hex digits are needed")
    })?;
    PayerSecret::from_bytes(*secret).map_err(|error| CommandError::file(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_times_or_heights() {
        let parse = |text| Window::parse(text).ok();
        assert_eq!(parse("30s"), Some(Window::Milliseconds(30_000)));
        assert_eq!(parse("500ms"), Some(Window::Milliseconds(500)));
        assert_eq!(parse("5m"), Some(Window::Milliseconds(300_000)));
        assert_eq!(parse("300h"), Some(Window::Heights(300)));
        for wrong in ["", "30", "s", "0s", "-1s", "1.5s", "30 s", "99999999999999999999s", "9d"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(Window::Milliseconds(30_000).heights(100), 300);
        assert_eq!(Window::Milliseconds(50).heights(100), 1);
    }

    #[test]
    fn transactions_are_named_by_chain() {
        let parsed = transaction("901:0x02ab").expect("valid");
        assert_eq!(parsed, (901, vec![2, 0xab]));
        for wrong in ["0x02ab", "x:0x02", "901:02ab", "901:0x2", "901:0x0x02", "901:@/nowhere"] {
            assert!(transaction(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_have_a_transaction_a_line() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("901.txt");
        let argument = format!("901:{}", path.display());
        let read = |text: &str| {
            #[expect(clippy::disallowed_methods, reason = "a test prepares a file")]
            std::fs::write(&path, text).expect("written");
            transaction_file(&argument)
        };
        let found = read("# two\n0x02ab\n\n  0x01 \n").expect("valid");
        assert_eq!(found, (901, vec![vec![2, 0xab], vec![1]]));
        for (text, why) in [("# none\n", "no transaction"), ("0x02\n02\n", "line 2 is not 0x")] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
        for wrong in ["901", "x:file", "901:/nowhere"] {
            assert!(transaction_file(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_payers_key_is_made_once_and_kept_to_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("payer");
        let first = payer_secret(&path).expect("made").payer();
        assert_eq!(payer_secret(&path).expect("read").payer(), first);
        let readable = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, readable).expect("chmod");
        let error = payer_secret(&path).expect_err("readable by the group").to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}

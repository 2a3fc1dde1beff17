//! Rollups as people name them on the command line: `NAME:CHAIN_ID,OPTION=VALUE,...`.
//!
//! | option | value | default |
//! |---|---|---|
//! | `block-time` | the time between two blocks, e.g. `250ms`, `2s` | a block per height |
//! | `genesis-ms` | the timestamp of block 0, milliseconds since 1970 | now, or what the others have |
//! | `gas-limit` | gas of a block | 30,000,000 |
//! | `byte-limit` | bytes of a block | 1,048,576 |
//! | `genesis` | a genesis document: legs are simulated over its state | nothing is simulated |
//! | `base-fee` | wei per gas, with `genesis` | 0 |
//! | `max-age` | others feed the rollup too: legs are simulated over its blocks up to this age, e.g. `30s` | |
//! | `elasticity`, `denominator` | of the base fee (EIP-1559), with `max-age` | 6 and 250 |
//! | `set-code` | `true` takes type 4 transactions | `false` |

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use fairveil_keygen::definition::{Rollup, RollupBlocks, RollupState};
use fairveil_release::states::{MAX_GENESIS_BYTES, parse_genesis};

use crate::command::{disk, error::CommandError};

/// A named rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// What the definition says of it; a genesis with its digest.
    pub(crate) rollup: Rollup,
    /// The bytes of its genesis document, which every sequencer needs.
    pub(crate) genesis: Option<Vec<u8>>,
}

/// What the arguments say, sorted by chain id. Blocks without a genesis time begin at `now_ms`, all
/// at once.
pub(crate) fn named(arguments: &[String], now_ms: u64) -> Result<Vec<Named>, CommandError> {
    let named = arguments.iter().map(|argument| one(argument, Some(now_ms)));
    let mut named = named.collect::<Result<Vec<_>, _>>()?;
    named.sort_by_key(|named| named.rollup.chain_id);
    Ok(named)
}

/// What the argument says of a rollup that joins a network: its blocks have a genesis time.
pub(crate) fn joining(argument: &str) -> Result<Named, CommandError> {
    one(argument, None)
}

/// The time of this machine in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the node owns the clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The name of a rollup's genesis document in a folder of such.
pub(crate) fn genesis_file(folder: &Path, chain_id: u64) -> PathBuf {
    folder.join(format!("{chain_id}.json"))
}

fn one(argument: &str, now_ms: Option<u64>) -> Result<Named, CommandError> {
    let usage = |why: &str| {
        CommandError::Usage(format!(
            "--rollup {argument}: {why}; give NAME:CHAIN_ID[,OPTION=VALUE...], e.g. \
             alpha:901,block-time=2s"
        ))
    };
    let mut parts = argument.split(',');
    let head = parts.next().and_then(|head| head.split_once(':'));
    let (name, chain_id) = head.ok_or_else(|| usage("no chain id"))?;
    let chain_id = chain_id.parse().map_err(|_| usage("the chain id is not a number"))?;
    let mut rollup = Rollup::new(chain_id, name);
    let (mut interval_ms, mut genesis_ms) = (None, None);
    let (mut genesis, mut base_fee) = (None, None);
    let mut followed = Followed::default();
    for part in parts {
        let (option, value) =
            part.split_once('=').ok_or_else(|| usage("an option has no value"))?;
        let wrong = |what: &str| usage(&format!("{option} is {value:?}, expected {what}"));
        let number = || value.parse::<u64>().map_err(|_| wrong("a number"));
        match option {
            "block-time" => {
                let time =
                    milliseconds(value).ok_or_else(|| wrong("a time such as 250ms or 2s"))?;
                interval_ms = Some(time);
            }
            "genesis-ms" => genesis_ms = Some(number()?),
            "gas-limit" => rollup.gas_limit = number()?,
            "byte-limit" => rollup.byte_limit = number()?,
            "base-fee" => base_fee = Some(number()?),
            "max-age" => {
                let age = milliseconds(value).ok_or_else(|| wrong("a time such as 30s"))?;
                followed.max_age_ms = Some(age);
            }
            "elasticity" => followed.elasticity = Some(number()?),
            "denominator" => followed.denominator = Some(number()?),
            "genesis" => genesis = Some(disk::read(Path::new(value), MAX_GENESIS_BYTES)?),
            "set-code" => {
                rollup.allows_set_code = value.parse().map_err(|_| wrong("true or false"))?;
            }
            _ => return Err(usage(&format!("there is no option {option:?}"))),
        }
    }
    rollup.blocks = match (interval_ms, genesis_ms) {
        (Some(interval_ms), genesis_ms) => {
            let genesis_ms = genesis_ms.or(now_ms).ok_or_else(|| {
                usage("block-time needs genesis-ms, the timestamp of the rollup's block 0")
            })?;
            Some(RollupBlocks { genesis_ms, interval_ms })
        }
        (None, Some(_)) => return Err(usage("genesis-ms needs block-time")),
        (None, None) => None,
    };
    rollup.state = match (&genesis, base_fee, followed.state().map_err(usage)?) {
        (Some(_), _, Some(_)) => return Err(usage("either genesis or max-age, not both")),
        (Some(document), base_fee, None) => {
            let state = parse_genesis(document);
            let state = state.map_err(|error| usage(&format!("the genesis: {error}")))?;
            let base_fee = base_fee.unwrap_or(0);
            Some(RollupState::Embedded { genesis: state.digest(), base_fee })
        }
        (None, Some(_), _) => return Err(usage("base-fee needs genesis")),
        (None, None, followed) => followed,
    };
    Ok(Named { rollup, genesis })
}

/// What is said of a rollup that others feed too.
#[derive(Default)]
struct Followed {
    max_age_ms: Option<u64>,
    elasticity: Option<u64>,
    denominator: Option<u64>,
}

impl Followed {
    /// The parameters of the base fee that OP chains have had since Canyon, unless others are given.
    fn state(&self) -> Result<Option<RollupState>, &'static str> {
        let (elasticity, denominator) = (self.elasticity, self.denominator);
        match self.max_age_ms {
            Some(max_age_ms) => Ok(Some(RollupState::Followed {
                max_age_ms,
                elasticity: elasticity.unwrap_or(6),
                denominator: denominator.unwrap_or(250),
            })),
            None if elasticity.or(denominator).is_some() => {
                Err("elasticity and denominator need max-age")
            }
            None => Ok(None),
        }
    }
}

/// A time such as `250ms` or `2s`, in milliseconds; not zero.
fn milliseconds(text: &str) -> Option<u64> {
    let time = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => digits.parse::<u64>().ok()?,
        (None, Some(digits)) => digits.parse::<u64>().ok()?.checked_mul(1_000)?,
        (None, None) => return None,
    };
    (time > 0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(argument: &str) -> String {
        named(&[argument.to_owned()], 7).expect_err("refused").to_string()
    }

    #[test]
    fn options_are_read_and_rollups_sorted() {
        let arguments = ["b:902,block-time=2s,gas-limit=5,byte-limit=6", "a:901,block-time=250ms"];
        let found = named(&arguments.map(str::to_owned), 7).expect("valid");
        let [a, b] = &found[..] else { panic!("two") };
        let blocks = |interval_ms| Some(RollupBlocks { genesis_ms: 7, interval_ms });
        assert_eq!(a.rollup, Rollup { blocks: blocks(250), ..Rollup::new(901, "a") });
        let expected =
            Rollup { blocks: blocks(2_000), gas_limit: 5, byte_limit: 6, ..Rollup::new(902, "b") };
        assert_eq!(b.rollup, expected);
    }

    #[test]
    fn a_followed_rollup_has_a_greatest_age() {
        let arguments = [
            "a:901,block-time=2s,max-age=30s",
            "b:902,block-time=2s,max-age=5s,elasticity=2,denominator=8",
        ];
        let found = named(&arguments.map(str::to_owned), 7).expect("valid");
        let state = |max_age_ms, elasticity, denominator| {
            Some(RollupState::Followed { max_age_ms, elasticity, denominator })
        };
        assert_eq!(found[0].rollup.state, state(30_000, 6, 250));
        assert_eq!(found[1].rollup.state, state(5_000, 2, 8));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (argument, why) in [
            ("alpha", "no chain id"),
            ("alpha:x", "not a number"),
            ("a:1,block-time", "has no value"),
            ("a:1,block-time=0s", "block-time is \"0s\", expected a time such as 250ms or 2s"),
            ("a:1,block-time=2", "expected a time such as"),
            ("a:1,gas-limit=x", "gas-limit is \"x\", expected a number"),
            ("a:1,colour=red", "no option \"colour\""),
            ("a:1,genesis-ms=5", "genesis-ms needs block-time"),
            ("a:1,base-fee=5", "base-fee needs genesis"),
            ("a:1,elasticity=5", "elasticity and denominator need max-age"),
            ("a:1,max-age=5", "max-age is \"5\", expected a time such as 30s"),
            ("a:1,max-age=5s,base-fee=1", "base-fee needs genesis"),
            ("a:1,set-code=maybe", "expected true or false"),
        ] {
            let said = refused(argument);
            assert!(said.contains(why), "{argument}: {said}");
        }
    }
}

//! What everyone can judge: dealer logs, and the outcome that follows from all of them.

use commonware_codec::{Copying, Decode as _, Encode as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{
    self as dkg, DealerLogSummary, Failure, FaultReason,
};
use commonware_cryptography::bls12381::primitives::group::Scalar;
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::ed25519::PublicKey;
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, Participant};
use fairveil_crypto::SequencerIndex;
use fairveil_crypto::domain::{Hasher, Tag};
use fairveil_crypto::point::PointBytes;
use serde::{Deserialize, Serialize};

use super::{Commitment, Round, Sharing, point_bytes, randomness};

type Log = dkg::DealerLog<MinPk, PublicKey>;
type Logs = dkg::Logs<MinPk, PublicKey, N3f1>;

/// 15!, the factor of the committee key (crypto.md 2).
const DELTA: u64 = 1_307_674_368_000;
/// Bytes of a signed log beside its commitment: keys, tags, lengths and the dealer's signature.
const LOG_BYTES_PER_MEMBER: usize = 32 + 1 + 64;
const LOG_BYTES_FIXED: usize = 256;

/// A dealer's log that counts, with whom it reveals.
#[derive(Clone)]
pub(crate) struct UsableLog {
    log: Log,
    /// The members whose dealing it reveals.
    pub(crate) revealed: Vec<SequencerIndex>,
}

/// Why a signed dealer log does not count. Each is proven by the log alone, or by it and the
/// dealing, but for [`LogFault::Withheld`], which an honest dealer is forced to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum LogFault {
    /// It commits to another polynomial than the dealing.
    #[error("log does not have the commitment of the dealing")]
    Commitment,
    /// It holds an acknowledgement that does not verify.
    #[error("log holds an acknowledgement that does not verify")]
    Acknowledgement,
    /// It reveals a value that the commitment does not promise.
    #[error("log reveals a dealing that does not match its commitment")]
    Reveal,
    /// It does not list exactly the members.
    #[error("log does not list exactly the members")]
    Members,
    /// It reveals more dealings than faulty members can force.
    #[error("log reveals too many dealings")]
    TooManyReveals,
    /// It reveals the dealing of a member that acknowledged it.
    #[error("log reveals the dealing of member {member}, who acknowledged it")]
    RevealedAcknowledged {
        /// That member.
        member: SequencerIndex,
    },
    /// It withholds everything, because it would have to reveal too much.
    #[error("dealer withheld its log: too few members acknowledged")]
    Withheld,
}

impl LogFault {
    /// Whether the fault proves that the dealer did not follow the protocol.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        *self != LogFault::Withheld
    }
}

/// The public result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The dealers whose polynomials are summed, or interpolated in a resharing.
    pub(crate) dealers: Vec<SequencerIndex>,
    /// The members whose share may have been revealed.
    pub(crate) revealed: Vec<SequencerIndex>,
    /// 15!·f(0)·G.
    pub(crate) committee_key: PointBytes,
    /// f(i)·G, by index.
    pub(crate) public_key_shares: Vec<PointBytes>,
}

/// Too few usable logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) needed: u32,
    pub(crate) found: u32,
}

impl Round {
    /// The longest signed log.
    pub(crate) fn max_log_bytes(&self) -> usize {
        self.players.len() * (LOG_BYTES_PER_MEMBER + 48) + LOG_BYTES_FIXED
    }

    /// Judges a signed log of `dealer`: `None` if it is not one, so that nobody is to blame.
    pub(crate) fn judge_log(
        &self,
        dealer: SequencerIndex,
        commitment: &Commitment,
        bytes: &[u8],
    ) -> Option<Result<UsableLog, LogFault>> {
        if bytes.len() > self.max_log_bytes() {
            return None;
        }
        let signed =
            dkg::SignedDealerLog::<MinPk, PublicKey>::decode_cfg(Copying(bytes), &self.limit())
                .ok()?;
        if signed.encode() != bytes {
            return None;
        }
        let (signer, log) = signed.check(&self.info)?;
        if self.dealer(dealer) != Some(&signer) {
            return None;
        }
        Some(self.judge_signed_log(signer, commitment, log))
    }

    fn judge_signed_log(
        &self,
        dealer: PublicKey,
        commitment: &Commitment,
        log: Log,
    ) -> Result<UsableLog, LogFault> {
        if !log.encode().starts_with(&commitment.bytes) {
            return Err(LogFault::Commitment);
        }
        let DealerLogSummary::Ok { reveals, .. } = log.summary() else {
            return Err(LogFault::Withheld);
        };
        let revealed = reveals
            .iter()
            .map(|key| self.player_index(key))
            .collect::<Option<_>>()
            .ok_or(LogFault::Members)?;
        let usable = UsableLog { log, revealed };
        // One log is never enough for an outcome, and what is said about it is the judgement.
        let mut logs = Logs::new(self.info.clone());
        logs.record(dealer, usable.log.clone());
        let mut generator = randomness(Tag::CeremonyCheck, &usable.log.encode()).noise(b"judge");
        match dkg::observe(&mut generator, logs, &Sequential) {
            Ok(_) => Ok(usable),
            Err(Failure::InsufficientLogs { faults, found, .. }) => match faults.values().first() {
                Some(fault) => Err(log_fault(fault)),
                None if found == 1 => Ok(usable),
                None => Err(LogFault::Withheld),
            },
        }
    }

    /// The outcome of these logs, by dealer. They must have been judged usable.
    pub(crate) fn outcome(
        &self,
        logs: &[(SequencerIndex, UsableLog)],
    ) -> Result<(Outcome, Sharing), Shortage> {
        let (collected, seed) = self.collect(logs);
        let mut generator = randomness(Tag::CeremonyCheck, &seed).noise(b"outcome");
        let output = dkg::observe(&mut generator, collected, &Sequential).map_err(
            |Failure::InsufficientLogs { required, found, .. }| Shortage {
                needed: required,
                found,
            },
        )?;
        let sharing = output.public();
        let committee_key = *sharing.public() * &Scalar::from_u64(DELTA);
        let public_key_shares = (0..self.players.len())
            .filter_map(|place| sharing.partial_public(Participant::from_usize(place)).ok())
            .map(|point| point_bytes(&point))
            .collect();
        let outcome = Outcome {
            dealers: output.dealers().iter().filter_map(|key| self.dealer_index(key)).collect(),
            revealed: output.revealed().iter().filter_map(|key| self.player_index(key)).collect(),
            committee_key: point_bytes(&committee_key),
            public_key_shares,
        };
        Ok((outcome, Sharing(output)))
    }

    /// The logs in the DKG's form, and a hash of them all.
    pub(super) fn collect(&self, logs: &[(SequencerIndex, UsableLog)]) -> (Logs, [u8; 32]) {
        let mut collected = Logs::new(self.info.clone());
        let mut seed = Hasher::new(Tag::CeremonyCheck);
        for (dealer, usable) in logs {
            seed.item(&usable.log.encode());
            if let Some(key) = self.dealer(*dealer) {
                collected.record(key.clone(), usable.log.clone());
            }
        }
        (collected, seed.finish().to_bytes())
    }
}

fn log_fault(reason: &FaultReason) -> LogFault {
    match reason {
        FaultReason::InvalidAck => LogFault::Acknowledgement,
        FaultReason::InvalidReveal => LogFault::Reveal,
        FaultReason::InvalidCommitmentDegree { .. } | FaultReason::MismatchedReshareCommitment => {
            LogFault::Commitment
        }
        FaultReason::MismatchedLogPlayers => LogFault::Members,
        FaultReason::ExcessiveReveals => LogFault::TooManyReveals,
    }
}

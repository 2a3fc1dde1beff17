//! Traders: they sign transactions, seal bundles, submit the same bytes until they have receipts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use commonware_runtime::{Clock, deterministic};
use fairveil_crypto::committee::CommitteeKey;
use fairveil_crypto::envelope::PayerSecret;
use fairveil_crypto::seal::SealRandomness;
use fairveil_crypto::{BundleId, Epoch, Height, NetworkId, SequencerIndex};
use fairveil_mempool::{Bundle, Leg, Policy, Receipt, RejectionCode, SealTerms, seal_bundle};
use fairveil_sequencer::Handle;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};
use rand_chacha::ChaCha20Rng;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SecretKey};

use super::keys::EPOCH;
use super::rollups::Fates;

/// How long a trader waits before it tries again.
const RETRY: Duration = Duration::from_millis(150);
/// How often it tries.
const ATTEMPTS: u32 = 40;

/// Why a bundle is sent: what it must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An ordinary bundle: once admitted it must be released.
    Honest,
    /// Sent by an attacking trader: it must end, whatever way.
    Hostile,
    /// An ordinary bundle whose contents decide how it ends.
    Known(Fates),
}

/// Whom a trader names as addressees: they are relayed the id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Nobody or everybody whom it sends to, depending on the id.
    EveryOther,
    /// Everybody whom it sends to.
    Everybody,
}

/// A bundle that was sealed, and what became of its submission.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// The number of its order, if it is one of the plan's.
    pub(crate) number: Option<u64>,
    /// Its id.
    pub(crate) id: BundleId,
    /// Why it was sent.
    pub(crate) purpose: Purpose,
    /// The pair that it consumes.
    pub(crate) nonce: ([u8; 20], u64),
    /// The end of its window.
    pub(crate) expires_at: u64,
    /// The highest final height known to any sequencer when it was sealed.
    pub(crate) sealed_at: u64,
    /// When it was sealed.
    pub(crate) sealed: SystemTime,
    /// What is inside: raw transactions by rollup.
    pub(crate) legs: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Receipts that it got.
    pub(crate) receipts: Vec<Receipt>,
    /// Rejections that it got.
    pub(crate) rejections: Vec<RejectionCode>,
}

/// Handles of the sequencers that run now, by position.
pub(crate) type Handles = Arc<Mutex<Vec<Option<Handle>>>>;

/// What all traders know.
#[derive(Clone)]
pub(crate) struct Market {
    pub(crate) network_id: NetworkId,
    pub(crate) key: CommitteeKey,
    pub(crate) handles: Handles,
    submissions: Arc<Mutex<Vec<Submission>>>,
    /// The members of each epoch: traders send to places in the committee that they know.
    terms: Arc<Vec<Vec<usize>>>,
    /// Submissions and changes that still wait for an answer.
    open: Arc<Mutex<usize>>,
}

/// What one trader wants.
pub(crate) struct Wish {
    /// The number of its order, if it is one of the plan's.
    pub(crate) number: Option<u64>,
    pub(crate) bundle: Bundle,
    pub(crate) purpose: Purpose,
    pub(crate) payer: PayerSecret,
    pub(crate) payer_nonce: u64,
    /// How many heights after the present one the window ends.
    pub(crate) window: u64,
    /// To whom it goes, and how much later than to the first.
    pub(crate) to: Vec<(usize, Duration)>,
    pub(crate) naming: Naming,
}

impl Market {
    pub(crate) fn new(
        network_id: NetworkId,
        key: CommitteeKey,
        handles: Handles,
        terms: Vec<Vec<usize>>,
    ) -> Self {
        let (submissions, open, terms) = (Arc::default(), Arc::default(), Arc::new(terms));
        Self { network_id, key, handles, submissions, open, terms }
    }

    /// The newest epoch that any running sequencer is in.
    pub(crate) fn epoch(&self) -> Epoch {
        let handles = lock(&self.handles);
        let epochs = handles.iter().flatten().map(|handle| handle.overview().epoch);
        Epoch::new(epochs.max().unwrap_or(0)).max(EPOCH)
    }

    /// Who has this place in the committee now.
    fn person(&self, place: usize) -> usize {
        let at = usize::try_from(self.epoch().get() - EPOCH.get()).unwrap_or(0);
        let members = &self.terms[at.min(self.terms.len() - 1)];
        members[place % members.len()]
    }

    /// All submissions so far.
    pub(crate) fn submissions(&self) -> Vec<Submission> {
        lock(&self.submissions).clone()
    }

    /// Whether no submission waits for an answer.
    pub(crate) fn is_quiet(&self) -> bool {
        *lock(&self.open) == 0
    }

    /// Registers that a trader or an operator begins.
    pub(crate) fn begins(&self) {
        *lock(&self.open) += 1;
    }

    /// Registers that one ended that began.
    pub(crate) fn ends(&self) {
        *lock(&self.open) -= 1;
    }

    /// The highest final height that any running sequencer has committed.
    pub(crate) fn height(&self) -> u64 {
        let handles = lock(&self.handles);
        handles.iter().flatten().map(|handle| handle.overview().height).max().unwrap_or(0)
    }

    /// Seals one bundle and submits it to everybody whom the wish names. [`Self::begins`] comes
    /// before it.
    pub(crate) async fn trade(
        self,
        clock: Arc<deterministic::Context>,
        wish: Wish,
        mut rng: ChaCha20Rng,
    ) {
        let bundle = &wish.bundle;
        let legs = bundle.legs().iter().map(|leg| {
            let raw = leg.transactions.iter().map(|raw| raw.to_vec());
            (leg.chain_id, raw.collect())
        });
        let legs = legs.collect();
        let sealed_at = self.height();
        let terms = SealTerms {
            network_id: self.network_id,
            valid_from: Height::new(sealed_at),
            expires_at: Height::new(sealed_at + wish.window),
            payer_nonce: wish.payer_nonce,
            class: None,
        };
        let mut uniform = [0; SealRandomness::UNIFORM_BYTES];
        rng.fill_bytes(&mut uniform);
        let randomness = SealRandomness::from_uniform(&uniform).expect("not one in 2^255");
        let sealed = seal_bundle(&self.key, &terms, &wish.payer, bundle, randomness)
            .expect("a small bundle is sealed");
        let number = {
            let mut submissions = lock(&self.submissions);
            submissions.push(Submission {
                number: wish.number,
                id: sealed.id(),
                purpose: wish.purpose,
                nonce: (*sealed.header().payer.as_bytes(), wish.payer_nonce),
                expires_at: terms.expires_at.get(),
                sealed_at,
                sealed: clock.current(),
                legs,
                receipts: Vec::new(),
                rejections: Vec::new(),
            });
            submissions.len() - 1
        };
        let bytes = sealed.encode();
        let tells = match wish.naming {
            Naming::EveryOther => sealed.id().as_bytes()[0].is_multiple_of(2),
            Naming::Everybody => true,
        };
        let named = wish.to.iter().filter(|_| tells);
        let addressed: Vec<_> =
            named.filter_map(|(member, _)| SequencerIndex::from_position(*member)).collect();
        let sends = wish.to.into_iter().map(|(member, delay)| {
            let (market, clock) = (self.clone(), Arc::clone(&clock));
            let (bytes, addressed) = (bytes.clone(), addressed.clone());
            async move {
                clock.sleep(delay).await;
                market.submit(&clock, number, member, bytes, addressed).await;
            }
        });
        futures::future::join_all(sends).await;
        self.ends();
    }

    /// Sends the same bytes until the sequencer answers.
    async fn submit(
        &self,
        clock: &deterministic::Context,
        number: usize,
        member: usize,
        bytes: Vec<u8>,
        addressed: Vec<SequencerIndex>,
    ) {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        for _ in 0..ATTEMPTS {
            let person = self.person(member);
            let handle = lock(&self.handles)[person].clone();
            if let Some(handle) = handle {
                let answer = handle.submit(bytes.clone(), address, addressed.clone()).await;
                let mut submissions = lock(&self.submissions);
                match answer {
                    Ok(Ok(receipt)) => return submissions[number].receipts.push(receipt),
                    Ok(Err(rejection)) if rejection.code != RejectionCode::Syncing => {
                        return submissions[number].rejections.push(rejection.code);
                    }
                    // Not ready, or it died before it answered: the same bytes again.
                    Ok(Err(_)) | Err(_) => {}
                }
            }
            clock.sleep(RETRY).await;
        }
    }
}

/// A payer from a seed.
pub(crate) fn payer(rng: &mut ChaCha20Rng) -> PayerSecret {
    loop {
        if let Ok(secret) = PayerSecret::from_bytes(rng.random()) {
            return secret;
        }
    }
}

/// One to three legs of one or two signed transactions of a fresh account, on these rollups.
pub(crate) fn ordinary(rollups: &[u64], rng: &mut ChaCha20Rng) -> Bundle {
    let mut chains = rollups.to_vec();
    chains.retain(|_| rng.random_bool(0.6));
    if chains.is_empty() {
        chains.extend(rollups.choose(rng));
    }
    let secret = loop {
        if let Ok(secret) = SecretKey::from_secret_bytes(rng.random()) {
            break secret;
        }
    };
    let legs = chains.into_iter().map(|chain_id| {
        let count = rng.random_range(1..=2);
        let transactions =
            (0..count).map(|nonce| transaction(rng, &secret, chain_id, nonce).into());
        Leg { chain_id, transactions: transactions.collect() }
    });
    Bundle::new(Policy::Include, legs.collect()).expect("three small legs are a bundle")
}

fn transaction(rng: &mut ChaCha20Rng, secret: &SecretKey, chain_id: u64, nonce: u64) -> Vec<u8> {
    let to = TxKind::Call(Address::from(rng.random::<[u8; 20]>()));
    let value = U256::from(rng.random_range(1..1_000_000u64));
    let signed: TxEnvelope = if rng.random_bool(0.5) {
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to,
            value,
            ..TxEip1559::default()
        };
        let signature = sign(secret, transaction.signature_hash().0);
        transaction.into_signed(signature).into()
    } else {
        let transaction = TxLegacy {
            chain_id: Some(chain_id),
            nonce,
            gas_price: 2_000_000_000,
            gas_limit: 21_000,
            to,
            value,
            ..TxLegacy::default()
        };
        let signature = sign(secret, transaction.signature_hash().0);
        transaction.into_signed(signature).into()
    };
    signed.encoded_2718()
}

pub(crate) fn sign(secret: &SecretKey, hash: [u8; 32]) -> Signature {
    let signed = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(hash), secret);
    let (recovery, compact) = signed.serialize_compact();
    let (r, s) = compact.split_at(32);
    let odd = matches!(recovery, RecoveryId::One | RecoveryId::Three);
    Signature::from_scalars_and_parity(B256::from_slice(r), B256::from_slice(s), odd)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

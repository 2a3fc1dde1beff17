//! The splitting trader: nobody is corrupt but a trader, who shows every sequencer something else.
//!
//! | attack | what is split |
//! |---|---|
//! | conflict | bundles with one payer nonce, a different one to every sequencer |
//! | reverse | pairs x, y to half of the sequencers and y, x to the others |
//! | expire | bundles whose windows close while they are on their way |
//! | limits | more bundles of one payer than a sequencer admits, other ones to each |
//!
//! Without the duty to report each of these stops the network: an undecided pair blocks everything
//! behind it.

use std::sync::Arc;
use std::time::Duration;

use commonware_runtime::{Clock, Spawner, Supervisor as _, deterministic};
use fairveil_crypto::envelope::PayerSecret;
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::plan::{Plan, SPLITTER_PAYER_BUNDLES, stream};
use super::traders::{Market, Naming, Purpose, Wish, ordinary};

/// When the attack begins, and over how long it is spread.
const FROM_MS: u64 = 300;
const SPREAD_MS: u64 = 1_500;
/// Heights left to bundles that are to expire: a little more than those in which nobody starts to
/// report any more.
const SHORT_WINDOW: std::ops::Range<u64> = 8..14;
const WINDOW: u64 = 2_000;

/// One bundle of the attack.
struct Shot {
    at: Duration,
    secret: [u8; 32],
    payer_nonce: u64,
    window: u64,
    to: Vec<(usize, Duration)>,
}

/// Starts the trader's tasks.
pub(super) fn begin(
    context: &Arc<deterministic::Context>,
    market: &Market,
    plan: &Plan,
    seed: u64,
) {
    for (number, shot) in (0u64..).zip(shots(usize::from(plan.n), &mut stream(seed, 3))) {
        let Shot { at, secret, payer_nonce, window, to } = shot;
        let payer = PayerSecret::from_bytes(secret).expect("it was one before");
        let (market, mut own) = (market.clone(), stream(seed, 2_000 + number));
        let bundle = ordinary(&plan.rollups.registry.chain_ids(), &mut own);
        let (number, purpose, naming) = (None, Purpose::Hostile, Naming::EveryOther);
        let wish = Wish { number, bundle, purpose, payer, payer_nonce, window, to, naming };
        market.begins();
        context.child("splitter").spawn(move |context| async move {
            context.sleep(at).await;
            market.trade(Arc::new(context), wish, own).await;
        });
    }
}

fn shots(n: usize, rng: &mut ChaCha20Rng) -> Vec<Shot> {
    let at =
        |rng: &mut ChaCha20Rng| Duration::from_millis(FROM_MS + rng.random_range(0..SPREAD_MS));
    let only = |member: usize| vec![(member % n, Duration::ZERO)];
    let mut shots = Vec::new();
    // Conflict: one payer nonce, another bundle for every sequencer.
    let (when, payer) = (at(rng), secret(rng));
    shots.extend((0..n).map(|member| {
        let to = only(member);
        Shot { at: when, secret: payer, payer_nonce: 0, window: WINDOW, to }
    }));
    // The same, to two each, so that more than one is ordered; the last comes too late for both.
    let (when, payer) = (at(rng), secret(rng));
    for (first, late) in [(0, 0), (2, 0), (1, 30)] {
        let to = [only(first), only(first + 1)].concat();
        let at = when + Duration::from_millis(late);
        shots.push(Shot { at, secret: payer, payer_nonce: 1, window: WINDOW, to });
    }
    // Reverse.
    for _ in 0..2 {
        let (at, gap) = (at(rng), Duration::from_millis(rng.random_range(5..40)));
        for early in 0..2 {
            let delay = |member: usize| if member % 2 == early { Duration::ZERO } else { gap };
            let to = (0..n).map(|member| (member, delay(member))).collect();
            let secret = secret(rng);
            shots.push(Shot { at, secret, payer_nonce: 0, window: WINDOW, to });
        }
    }
    // Expire: at one, two or three sequencers.
    for _ in 0..4 {
        let count = rng.random_range(1..=3);
        let to = (0..count).flat_map(|step| only(step * 2)).collect();
        let window = rng.random_range(SHORT_WINDOW);
        shots.push(Shot { at: at(rng), secret: secret(rng), payer_nonce: 0, window, to });
    }
    // Limits: every sequencer is full of other bundles of one payer.
    let (at, greedy) = (at(rng), secret(rng));
    for number in 0..SPLITTER_PAYER_BUNDLES * 4 {
        let member = usize::try_from(number).unwrap_or(0);
        let to = [only(member), only(member + 1)].concat();
        shots.push(Shot { at, secret: greedy, payer_nonce: number, window: WINDOW, to });
    }
    shots
}

/// The bytes of a payer's secret: bundles of one payer need it more than once.
fn secret(rng: &mut ChaCha20Rng) -> [u8; 32] {
    loop {
        let bytes = rng.random();
        if PayerSecret::from_bytes(bytes).is_ok() {
            return bytes;
        }
    }
}

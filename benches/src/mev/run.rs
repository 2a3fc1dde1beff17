//! All runs of a meter: per seed the four arms with and without the searcher, each strategy alone,
//! and the race for positions.

use std::collections::BTreeSet;

use fairveil_ordering::Mode;
use rayon::prelude::*;

use super::MevError;
use super::arm::{Arm, Attacker, Outcome, Privacy, Run, Strategy};
use super::chain::Contracts;
use super::flow::Flow;
use super::network::Fifth;

/// Runs unless said otherwise.
pub const SEEDS: u64 = 200;
/// Fewer than this are not for quoting.
pub const QUOTABLE_SEEDS: u64 = 200;
/// Of a quick run.
pub const QUICK_SEEDS: u64 = 12;
/// The most seeds of a meter.
pub const MAX_SEEDS: u64 = 10_000;
/// Modes whose race for positions is measured.
pub const RACES: [Mode; 2] = [Mode::Leader, Mode::Strict];

/// Arms in which each strategy is measured alone, too: the worst and the best.
pub const ALONE: [Arm; 2] = [Arm::ALL[0], Arm::ALL[3]];

/// One arm of one seed.
#[derive(Clone, Debug)]
pub struct ArmOutcome {
    /// Without the searcher.
    pub peaceful: Outcome,
    /// With him.
    pub attacked: Outcome,
}

/// One strategy without the others, in units of dollars.
#[derive(Clone, Copy, Debug)]
pub struct AloneOutcome {
    /// What it earned after fees.
    pub value: i64,
    /// By how much swaps were worse than without it.
    pub worse: i64,
}

/// Everything of one seed.
#[derive(Clone, Debug)]
pub struct SeedOutcome {
    /// The seed.
    pub seed: u64,
    /// In the order of [`Arm::ALL`].
    pub arms: Vec<ArmOutcome>,
    /// Each strategy alone, in the order of [`ALONE`] and [`Strategy::ALL`].
    pub alone: Vec<Vec<AloneOutcome>>,
    /// By mode, with the fifth sequencer corrupt and honest: front and target placed, front first,
    /// back behind.
    pub races: Vec<[[u64; 3]; 2]>,
}

/// How far a meter is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Seeds that are done.
    pub done: u64,
    /// All seeds.
    pub seeds: u64,
}

/// Runs seeds `first..first + seeds`; `progress` hears of every few of them.
///
/// # Errors
///
/// If model and EVM differ, or the order refuses a step.
pub fn run(
    first: u64,
    seeds: u64,
    mut progress: impl FnMut(Progress),
) -> Result<Vec<SeedOutcome>, MevError> {
    let contracts = Contracts::new()?;
    let all: Vec<u64> = (0..seeds).map(|number| first.wrapping_add(number)).collect();
    let mut outcomes = Vec::with_capacity(all.len());
    let together = rayon::current_num_threads() * 4;
    for some in all.chunks(together) {
        let some = some.par_iter().map(|seed| of_seed(&contracts, *seed));
        outcomes.extend(some.collect::<Result<Vec<_>, _>>()?);
        progress(Progress { done: outcomes.len() as u64, seeds });
    }
    Ok(outcomes)
}

/// Everything of one seed.
///
/// # Errors
///
/// As [`run`].
pub fn of_seed(contracts: &Contracts, seed: u64) -> Result<SeedOutcome, MevError> {
    let flow = Flow::new(seed);
    let run = |arm, attacker| -> Result<Outcome, MevError> {
        let outcome = Run::new(contracts, &flow, seed, arm, attacker)?.finish()?;
        // Nothing of a report follows from logs, which are large.
        Ok(Outcome { logs: Default::default(), ..outcome })
    };
    let (mut arms, mut alone): (Vec<ArmOutcome>, Vec<_>) = (Vec::new(), Vec::new());
    for arm in Arm::ALL {
        let peaceful = run(arm, Attacker::Nobody)?;
        let attacked = run(arm, Attacker::searcher())?;
        arms.push(ArmOutcome { peaceful, attacked });
    }
    for arm in ALONE {
        let place = Arm::ALL.iter().position(|other| *other == arm).unwrap_or(0);
        let peaceful = &arms[place].peaceful;
        let single = |strategy| -> Result<AloneOutcome, MevError> {
            let outcome = run(arm, Attacker::Searcher(BTreeSet::from([strategy])))?;
            let (worse, _) = outcome.worse_than(peaceful, |_| true);
            Ok(AloneOutcome { value: outcome.tally.value(strategy), worse })
        };
        alone.push(Strategy::ALL.into_iter().map(single).collect::<Result<Vec<_>, _>>()?);
    }
    let mut races = Vec::new();
    for mode in RACES {
        let arm = Arm { privacy: Privacy::Sealed, mode };
        let fronts = |fifth| Ok::<_, MevError>(run(arm, Attacker::Probe(fifth))?.tally.fronts);
        races.push([fronts(Fifth::Corrupt)?, fronts(Fifth::Honest)?]);
    }
    Ok(SeedOutcome { seed, arms, alone, races })
}

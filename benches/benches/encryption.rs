//! Sealing and opening beside `threshold_crypto`, one thread each.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use fairveil_benches::baseline::Baseline;
use fairveil_benches::fairveil::{Sequencers, plaintext};
use fairveil_benches::plan::{BASELINE_STAGES, BaselineStage, Case, Operation, STAGES, Stage};
use rand_chacha_02::ChaCha20Rng;
use rand_chacha_02::rand_core::SeedableRng;

use crate::support::{ProcessorTime, criterion};

type Group<'a> = BenchmarkGroup<'a, ProcessorTime>;

fn main() {
    let mut criterion = criterion();
    each(&mut criterion, STAGES, ours);
    each(&mut criterion, BASELINE_STAGES, baseline);
    criterion.final_summary();
}

fn each<K: Copy>(
    criterion: &mut Criterion<ProcessorTime>,
    operations: &[Operation<K>],
    measure: fn(&mut Group<'_>, BenchmarkId, K, &Case),
) {
    for operation in operations {
        let mut group = criterion.benchmark_group(operation.name);
        for case in operation.cases {
            group.throughput(Throughput::Elements(case.count as u64));
            let id = BenchmarkId::from_parameter(operation.parameters(case));
            measure(&mut group, id, operation.kind, case);
        }
        group.finish();
    }
}

/// Measures what a benchmark is given to measure: it is not called if it was not asked for.
fn run<O>(group: &mut Group<'_>, id: BenchmarkId, mut run: impl FnMut() -> O) {
    group.bench_function(id, |bencher| bencher.iter(|| black_box(run())));
}

fn ours(group: &mut Group<'_>, id: BenchmarkId, stage: Stage, case: &Case) {
    let sequencers = Sequencers::new(*case);
    let verified = sequencers.verify();
    let own = sequencers.share(&verified);
    let told = sequencers.told();
    let divided = |own| sequencers.check_hints(sequencers.combine_part(&verified, own), &told);
    sequencers.assert_opened(&sequencers.combine(&verified, own.clone()));
    sequencers.assert_opened(&divided(own.clone()));
    match stage {
        Stage::Seal => {
            let m = plaintext(0, case.plaintext_bytes);
            let mut rng = ChaCha20Rng::from_seed([21; 32]);
            run(group, id, || sequencers.seal(&m, &mut rng));
        }
        Stage::Verify => run(group, id, || sequencers.verify()),
        Stage::Prepare => run(group, id, || sequencers.prepare(&verified)),
        Stage::Share => run(group, id, || sequencers.share(&verified)),
        Stage::CheckShare => run(group, id, || sequencers.check_share(&verified)),
        Stage::Combine => run(group, id, || sequencers.combine(&verified, own.clone())),
        Stage::OpenHint => run(group, id, || sequencers.open_hint(&verified)),
        Stage::Open => run(group, id, || sequencers.open()),
        Stage::OpenDivided => run(group, id, || {
            let verified = sequencers.verify();
            let own = sequencers.share(&verified);
            sequencers.check_hints(sequencers.combine_part(&verified, own), &told)
        }),
        Stage::AfterFinality => {
            let prepared = sequencers.prepare(&verified);
            run(group, id, || divided(sequencers.prove(&prepared)));
        }
    }
}

fn baseline(group: &mut Group<'_>, id: BenchmarkId, stage: BaselineStage, case: &Case) {
    let plaintexts = vec![plaintext(0, case.plaintext_bytes)];
    let baseline = Baseline::new(case.n, &plaintexts, 1);
    let own = baseline.share();
    assert_eq!(baseline.open(), plaintexts);
    assert_eq!(baseline.open_unchecked(), plaintexts);
    match stage {
        BaselineStage::Seal => run(group, id, || baseline.seal(&plaintexts)),
        BaselineStage::Verify => run(group, id, || baseline.verify()),
        BaselineStage::Share => run(group, id, || baseline.share()),
        BaselineStage::CheckShare => run(group, id, || baseline.check_share(1)),
        BaselineStage::Combine => run(group, id, || baseline.combine(&own)),
        BaselineStage::Open => run(group, id, || baseline.open()),
        BaselineStage::OpenUnchecked => run(group, id, || baseline.open_unchecked()),
    }
}

//! Sealing and opening beside `threshold_crypto`, one thread each.

use std::hint::black_box;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use fairveil_benches::baseline::Baseline;
use fairveil_benches::clock::{ProcessorTime, criterion};
use fairveil_benches::fairveil::{Sequencers, plaintext};
use fairveil_benches::plan::{self, Case, OURS, Operation, THRESHOLD_CRYPTO, UNCHECKED};
use rand_chacha_02::ChaCha20Rng;
use rand_chacha_02::rand_core::SeedableRng;

type Group<'a> = BenchmarkGroup<'a, ProcessorTime>;

fn main() {
    let mut criterion = criterion();
    measure(&mut criterion, &plan::SEAL, seal);
    measure(&mut criterion, &plan::VERIFY, verify);
    measure(&mut criterion, &plan::SHARE, share);
    measure(&mut criterion, &plan::CHECK_SHARE, check_share);
    measure(&mut criterion, &plan::COMBINE, combine);
    measure(&mut criterion, &plan::OPEN, open);
    measure(&mut criterion, &plan::OPEN_DIVIDED, open_divided);
    measure(&mut criterion, &plan::AFTER_FINALITY, after_finality);
    criterion.final_summary();
}

fn measure(
    criterion: &mut Criterion<ProcessorTime>,
    operation: &Operation,
    bench: fn(&mut Group<'_>, Case),
) {
    let mut group = criterion.benchmark_group(operation.name);
    for case in operation.cases {
        bench(&mut group, *case);
    }
    group.finish();
}

/// One side of a case. `count` ciphertexts are handled per iteration.
fn side<O>(
    group: &mut Group<'_>,
    name: &str,
    case: Case,
    count: usize,
    mut run: impl FnMut() -> O,
) {
    group.throughput(Throughput::Elements(count as u64));
    let id = BenchmarkId::new(name, case.name());
    group.bench_function(id, |bencher| bencher.iter(|| black_box(run())));
}

/// Both sides of a case, which hold the same first plaintext.
fn sides(case: Case) -> (Sequencers, Baseline) {
    let baseline = Baseline::new(case.n, &plaintext(0, case.plaintext_bytes));
    (Sequencers::new(case), baseline)
}

fn seal(group: &mut Group<'_>, case: Case) {
    let (sequencers, mut baseline) = sides(case);
    let m = plaintext(0, case.plaintext_bytes);
    let mut rng = ChaCha20Rng::from_seed([21; 32]);
    sequencers.assert_opened(&sequencers.open());
    assert_eq!(baseline.open(), m);
    side(group, OURS, case, 1, || sequencers.seal(&m, &mut rng));
    side(group, THRESHOLD_CRYPTO, case, 1, || baseline.seal(&m));
}

fn verify(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    assert_eq!(sequencers.verify().len(), case.count);
    assert!(baseline.verify());
    side(group, OURS, case, case.count, || sequencers.verify());
    side(group, THRESHOLD_CRYPTO, case, 1, || baseline.verify());
}

fn share(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    let verified = sequencers.verify();
    let opened = sequencers.combine(&verified, sequencers.share(&verified));
    sequencers.assert_opened(&opened);
    assert_eq!(baseline.combine(&baseline.share()), opened[0].m);
    side(group, OURS, case, case.count, || sequencers.share(&verified));
    side(group, THRESHOLD_CRYPTO, case, 1, || baseline.share());
}

fn check_share(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    let verified = sequencers.verify();
    sequencers.check_share(&verified);
    assert!(baseline.check_share(1));
    side(group, OURS, case, case.count, || sequencers.check_share(&verified));
    side(group, THRESHOLD_CRYPTO, case, 1, || baseline.check_share(1));
}

fn combine(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    let verified = sequencers.verify();
    let (own, other) = (sequencers.share(&verified), baseline.share());
    let opened = sequencers.combine(&verified, own.clone());
    sequencers.assert_opened(&opened);
    assert_eq!(baseline.combine(&other), opened[0].m);
    side(group, OURS, case, case.count, || sequencers.combine(&verified, own.clone()));
    side(group, UNCHECKED, case, 1, || baseline.combine(&other));
}

fn open(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    let opened = sequencers.open();
    sequencers.assert_opened(&opened);
    assert_eq!(baseline.open(), opened[0].m);
    assert_eq!(baseline.open_unchecked(), opened[0].m);
    side(group, OURS, case, case.count, || sequencers.open());
    side(group, THRESHOLD_CRYPTO, case, 1, || baseline.open());
    side(group, UNCHECKED, case, 1, || baseline.open_unchecked());
}

fn open_divided(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    let opened = sequencers.open_divided();
    sequencers.assert_opened(&opened);
    assert_eq!(baseline.open(), opened[0].m);
    assert_eq!(baseline.open_unchecked(), opened[0].m);
    side(group, OURS, case, case.count, || sequencers.open_divided());
    side(group, THRESHOLD_CRYPTO, case, 1, || baseline.open());
    side(group, UNCHECKED, case, 1, || baseline.open_unchecked());
}

fn after_finality(group: &mut Group<'_>, case: Case) {
    let (sequencers, baseline) = sides(case);
    let verified = sequencers.verify();
    let (prepared, other) = (sequencers.prepare(&verified), baseline.share());
    let ours = || sequencers.combine_divided(&verified, sequencers.prove(&prepared));
    let theirs = || {
        baseline.check_shares();
        baseline.combine(&other)
    };
    let opened = ours();
    sequencers.assert_opened(&opened);
    assert_eq!(theirs(), opened[0].m);
    side(group, OURS, case, case.count, ours);
    side(group, THRESHOLD_CRYPTO, case, 1, theirs);
}

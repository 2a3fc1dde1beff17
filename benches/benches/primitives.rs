//! Single operations on the curve and with hashes and signatures, one thread each.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkGroup, BenchmarkId};
use fairveil_benches::plan::{Case, PRIMITIVES, Primitive};
use fairveil_crypto::domain::{Tag, hash};
use fairveil_crypto::lagrange::coefficients;
use fairveil_crypto::point::{Point, UncheckedPoint};
use fairveil_crypto::primitive::{multiply, multiply_generator, multiply_vartime, weighted_sum};
use fairveil_crypto::scalar::{Scalar, SecretScalar};
use fairveil_crypto::{ConsensusSecret, SequencerIndex, committee::threshold};

use crate::support::{ProcessorTime, criterion};

fn main() {
    let mut criterion = criterion();
    for operation in PRIMITIVES {
        let mut group = criterion.benchmark_group(operation.name);
        for case in operation.cases {
            let id = BenchmarkId::from_parameter(operation.parameters(case));
            measure(&mut group, id, operation.kind, case);
        }
        group.finish();
    }
    criterion.final_summary();
}

fn measure(
    group: &mut BenchmarkGroup<'_, ProcessorTime>,
    id: BenchmarkId,
    kind: Primitive,
    case: &Case,
) {
    let scalar = Scalar::hash(Tag::TestDealer, &[b"a scalar"]);
    let secret = SecretScalar::hash(Tag::TestDealer, &[b"a secret"]);
    let point = Point::second_generator();
    let bytes = vec![7; case.plaintext_bytes];
    let signer = ConsensusSecret::from_seed([25; 32]);
    match kind {
        Primitive::PointMultiply => run(group, id, || multiply(&point, &secret)),
        Primitive::PointMultiplyVartime => run(group, id, || multiply_vartime(&point, &scalar)),
        Primitive::FixedBase => run(group, id, || multiply_generator(&scalar)),
        Primitive::WeightedSum => {
            let points = vec![point; case.count];
            let weight = |number: usize| u128::MAX / (3 * number as u128 + 1);
            let weights: Vec<u128> = (0..case.count).map(weight).collect();
            run(group, id, || weighted_sum(&points, &weights));
        }
        Primitive::PointDecode => {
            let encoded = point.encode();
            run(group, id, || Point::decode(encoded.as_bytes()));
        }
        Primitive::PointDecodeUnchecked => {
            let encoded = point.encode();
            run(group, id, || UncheckedPoint::decode(encoded.as_bytes()));
        }
        Primitive::SubgroupCheck => {
            let unchecked = UncheckedPoint::from(point);
            run(group, id, || unchecked.check());
        }
        Primitive::HashToScalar => run(group, id, || Scalar::hash(Tag::TestDealer, &[&bytes])),
        Primitive::Hash => run(group, id, || hash(Tag::TestDealer, &[&bytes])),
        Primitive::Coefficients => {
            let indices: Vec<_> = SequencerIndex::all(threshold(case.n)).collect();
            run(group, id, || coefficients(&indices));
        }
        Primitive::Sign => run(group, id, || signer.sign(Tag::TestDealer, &[&bytes])),
        Primitive::VerifySignature => {
            let signature = signer.sign(Tag::TestDealer, &[&bytes]);
            let key = signer.public_key();
            run(group, id, || key.verify(Tag::TestDealer, &[&bytes], &signature));
        }
    }
}

fn run<O>(
    group: &mut BenchmarkGroup<'_, ProcessorTime>,
    id: BenchmarkId,
    mut run: impl FnMut() -> O,
) {
    group.bench_function(id, |bencher| bencher.iter(|| black_box(run())));
}

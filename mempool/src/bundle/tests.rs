#![allow(clippy::unwrap_used)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn leg(chain_id: u64, transactions: &[&[u8]]) -> Leg {
    let transactions = transactions.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
    Leg { chain_id, transactions }
}

/// A second writer, by alloy's own list encoding, of anything: valid or not.
fn rlp(policy: u64, legs: &[(u64, Vec<Vec<u8>>)]) -> Vec<u8> {
    fn wrapped(payload: Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend(payload);
        out
    }
    let mut encoded_legs = Vec::new();
    for (chain_id, transactions) in legs {
        let mut items = Vec::new();
        chain_id.encode(&mut items);
        let encoded = transactions.iter().flat_map(|bytes| alloy_rlp::encode(&bytes[..]));
        items.extend(wrapped(encoded.collect()));
        encoded_legs.extend(wrapped(items));
    }
    let mut items = Vec::new();
    policy.encode(&mut items);
    items.extend(wrapped(encoded_legs));
    wrapped(items)
}

fn of(class: u8) -> SizeClass {
    SizeClass::new(class.into()).unwrap()
}

fn padded(bundle: &[u8], class: u8) -> Vec<u8> {
    let class = of(class);
    let mut m = u32::try_from(bundle.len()).unwrap().to_be_bytes().to_vec();
    m.extend_from_slice(bundle);
    m.resize(class.plaintext_bytes(), 0);
    m
}

fn any_bundle() -> impl Strategy<Value = Bundle> {
    let transactions = vec(vec(any::<u8>(), 1..300), 1..4);
    let legs = btree_map(any::<u64>(), transactions, 1..5);
    (any::<bool>(), legs).prop_map(|(execute, legs)| {
        let legs = legs.into_iter().map(|(chain_id, transactions)| Leg {
            chain_id,
            transactions: transactions.into_iter().map(Bytes::from).collect(),
        });
        let policy = if execute { Policy::Execute } else { Policy::Include };
        Bundle::new(policy, legs.collect()).unwrap()
    })
}

#[test]
fn invariant_1_legs_are_sorted_and_each_fault_is_named() {
    let (a, b) = (leg(902, &[b"x"]), leg(901, &[b"y", b"z"]));
    let bundle = Bundle::new(Policy::Include, vec![a.clone(), b.clone()]).unwrap();
    assert_eq!(bundle.legs(), [b, a.clone()]);
    let new = |legs| Bundle::new(Policy::Include, legs);
    assert_eq!(new(vec![]), Err(BundleError::NoLegs));
    assert_eq!(
        new(vec![a.clone(), leg(901, &[b"y"]), a.clone()]),
        Err(BundleError::ChainTwice { chain_id: 902 })
    );
    assert_eq!(new(vec![a.clone(), leg(5, &[])]), Err(BundleError::NoTransactions { chain_id: 5 }));
    assert_eq!(
        new(vec![a, leg(5, &[b"x", b""])]),
        Err(BundleError::EmptyTransaction { chain_id: 5, position: 1 })
    );
}

#[test]
fn invariant_1_the_largest_bundle_fits_and_one_byte_more_names_limit_and_value() {
    // Headers: bundle 3, policy 1, legs 3, leg 3, chain id 1, transactions 3, transaction 3.
    let largest = BUNDLE_BYTES - 17;
    let new = |size: usize| Bundle::new(Policy::Include, vec![leg(1, &[&vec![7; size][..]])]);
    let bundle = new(largest).unwrap();
    assert_eq!(bundle.encode().len(), BUNDLE_BYTES);
    assert_eq!(bundle.smallest_class(), SizeClass::MAX);
    let m = bundle.padded(SizeClass::MAX).unwrap();
    assert_eq!(Bundle::from_padded(&m, SizeClass::MAX), Ok(bundle));
    let error = new(largest + 1).unwrap_err();
    assert_eq!(error.to_string(), "bundle is 65533 bytes, class 7 holds 65532");
}

#[test]
fn each_class_holds_what_its_error_says() {
    for class in (0..=7).map(of) {
        let limit = class.plaintext_bytes() - LENGTH_PREFIX_BYTES;
        let fits = (1..=limit).rev().find_map(|size| {
            let bundle =
                Bundle::new(Policy::Execute, vec![leg(300, &[&vec![7; size][..]])]).ok()?;
            (bundle.encode().len() <= limit).then_some((size, bundle))
        });
        let (size, bundle) = fits.unwrap();
        assert_eq!(bundle.smallest_class(), class);
        assert_eq!(bundle.padded(class).unwrap().len(), class.plaintext_bytes());
        if class < SizeClass::MAX {
            let legs = vec![leg(300, &[&vec![7; size + 1][..]])];
            let larger = Bundle::new(Policy::Execute, legs).unwrap();
            assert_eq!(larger.smallest_class().get(), class.get() + 1);
            let actual_bytes = larger.encode().len();
            let expected = BundleError::TooLarge { actual_bytes, limit_bytes: limit, class };
            assert_eq!(larger.padded(class), Err(expected));
        }
    }
}

#[test]
fn invariant_3_reasons_come_in_order() {
    let unsorted = rlp(0, &[(2, vec![vec![9]]), (1, vec![vec![9]])]);
    let mut trailing = unsorted.clone();
    trailing.push(1);
    let mut dirty = padded(&trailing, 0);
    dirty[511] = 1;
    let mut long = dirty.clone();
    long[..4].copy_from_slice(&509u32.to_be_bytes());
    assert_eq!(Bundle::from_padded(&long, of(0)), Err(FailedReason::Length));
    assert_eq!(Bundle::from_padded(&dirty, of(0)), Err(FailedReason::Padding));
    assert_eq!(Bundle::from_padded(&padded(&trailing, 0), of(0)), Err(FailedReason::Encoding));
    assert_eq!(Bundle::from_padded(&padded(&unsorted, 0), of(0)), Err(FailedReason::Legs));
    assert_eq!(Bundle::from_padded(&padded(&unsorted, 0), of(1)), Err(FailedReason::Length));
    assert_eq!(Bundle::from_padded(&[], of(0)), Err(FailedReason::Length));
    assert_eq!(Bundle::from_padded(&[0; 512], of(0)), Err(FailedReason::Encoding));
}

#[test]
fn invariant_3_encoding_is_judged_before_legs() {
    let mut both = rlp(0, &[(2, vec![vec![]]), (1, vec![])]);
    assert_eq!(Bundle::decode(&both), Err(FailedReason::Legs));
    // The last byte, the empty transaction list of the last leg, becomes an empty string.
    *both.last_mut().unwrap() = 0x80;
    assert_eq!(Bundle::decode(&both), Err(FailedReason::Encoding));
    assert_eq!(Bundle::decode(&rlp(2, &[])), Err(FailedReason::Encoding));
    assert_eq!(Bundle::decode(&rlp(1, &[])), Err(FailedReason::Legs));
}

#[test]
fn reasons_are_written_as_they_are_read() {
    for reason in FailedReason::ALL {
        assert_eq!(reason.to_string().parse(), Ok(reason));
        assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
    }
    assert_eq!("aead".parse::<FailedReason>(), Err(ParseReasonError));
}

#[test]
fn invariant_4_the_densest_lists_are_read_in_full() {
    let empties = rlp(0, &[(1, vec![vec![]; 60_000])]);
    assert_eq!(Bundle::from_padded(&padded(&empties, 7), of(7)), Err(FailedReason::Legs));
    let ones = rlp(0, &[(1, vec![vec![1]; 60_000])]);
    let bundle = Bundle::from_padded(&padded(&ones, 7), of(7)).unwrap();
    assert_eq!(bundle.legs()[0].transactions.len(), 60_000);
}

proptest! {
    #[test]
    fn invariant_2_what_is_padded_comes_back(bundle in any_bundle(), more in 0u8..3) {
        let class = of((bundle.smallest_class().get() + more).min(7));
        let m = bundle.padded(class).unwrap();
        prop_assert_eq!(m.len(), class.plaintext_bytes());
        prop_assert_eq!(Bundle::from_padded(&m, class), Ok(bundle));
    }

    #[test]
    fn invariant_2_the_encoding_is_alloys(bundle in any_bundle()) {
        let legs: Vec<_> = bundle
            .legs()
            .iter()
            .map(|leg| (leg.chain_id, leg.transactions.iter().map(|t| t.to_vec()).collect()))
            .collect();
        prop_assert_eq!(&bundle.encode()[..], &rlp(bundle.policy().number(), &legs)[..]);
    }

    #[test]
    fn invariant_2_a_mutated_plaintext_fails_or_is_canonical(
        bundle in any_bundle(),
        position in any::<prop::sample::Index>(),
        flip in 1u8..,
        near_the_start in any::<bool>(),
    ) {
        let class = bundle.smallest_class();
        let mut m = bundle.padded(class).unwrap().to_vec();
        let span = if near_the_start { 24.min(m.len()) } else { m.len() };
        m[position.index(span)] ^= flip;
        if let Ok(other) = Bundle::from_padded(&m, class) {
            prop_assert_ne!(&other, &bundle);
            prop_assert_eq!(&other.padded(class).unwrap()[..], &m[..]);
        }
    }

    #[test]
    fn invariant_2_random_bytes_fail_or_are_canonical(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(bundle) = Bundle::decode(&bytes) {
            prop_assert_eq!(&bundle.encode()[..], &bytes[..]);
        }
    }

    #[test]
    fn invariant_3_any_nonzero_padding_is_padding(bundle in any_bundle(), byte in 1u8.., at in any::<prop::sample::Index>()) {
        let class = bundle.smallest_class();
        let mut m = bundle.padded(class).unwrap().to_vec();
        let begin = LENGTH_PREFIX_BYTES + bundle.encode().len();
        prop_assume!(begin < m.len());
        let span = m.len() - begin;
        m[begin + at.index(span)] = byte;
        prop_assert_eq!(Bundle::from_padded(&m, class), Err(FailedReason::Padding));
    }
}

use fairveil_crypto::envelope::{Header, PAYER_SIGNATURE_BYTES, SizeClass, UnsignedBundle};
use fairveil_crypto::seal::{Ciphertext, seal};

use super::*;
use crate::rejection::Value;

fn numbers(code: RejectionCode, actual: u64, limit: u64) -> Rejection {
    Rejection::numbers(code, actual, limit)
}

fn code(reply: Option<Reply>) -> RejectionCode {
    match reply {
        Some(Reply::Rejected(rejection)) => rejection.code,
        other => panic!("{other:?}"),
    }
}

/// Header and ciphertext of choice, signed, as they would come from a client that errs.
fn signed(header: Header, key: &CommitteeKey, ad: &[u8]) -> Vec<u8> {
    let m = vec![0; header.class.plaintext_bytes()];
    let randomness = SealRandomness::from_uniform(&[7; 80]).unwrap();
    let ciphertext = seal(key, ad, &m, randomness).unwrap();
    UnsignedBundle::new(header, ciphertext).unwrap().sign(&secret(1)).unwrap().encode()
}

fn header() -> Header {
    *Terms::new(1, 1).seal().header()
}

#[test]
fn an_admitted_bundle_is_stored_relayed_logged_and_answered_in_this_order() {
    let mut pool = Pool::new(config(Limits::DEFAULT)).unwrap();
    for number in [2, 3, 4] {
        pool.handle(0, Input::PeerConnected { peer: peer(number) });
    }
    let bundle = Terms::new(1, 1).seal();
    let submitted = Input::Submitted {
        request: RequestId(5),
        address: address(1),
        addressed: vec![peer(3)],
        bytes: bundle.encode(),
    };
    let mut outputs = pool.handle(7, submitted);
    let Some(Output::Verify(job)) = outputs.pop() else { panic!("no job") };
    assert!(outputs.is_empty());
    assert_eq!((job.len(), pool.stats().verifying), (1, 1));
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let outputs = pool.handle(8, Input::Verified(job.run(&threads)));
    let id = bundle.id();
    let durable: Vec<bool> = outputs.iter().map(Output::is_durable).collect();
    assert_eq!(durable, [true, false, false, false, true, false]);
    let mut outputs = outputs.into_iter();
    let mut next = || outputs.next().unwrap();
    let expected = StoredBundle {
        id,
        acceptance: 0,
        charged: Some(Source::Trader(address(1))),
        sealed: bundle.encode(),
    };
    assert!(matches!(next(), Output::Persist(stored) if stored == expected));
    assert!(matches!(next(), Output::Held { id: held, .. } if held == id));
    // The trader reaches sequencer 3 itself: the id is enough there.
    assert!(matches!(next(), Output::Send { to, message: BundleMessage::Relay(bytes) }
        if to == [peer(2), peer(4)] && bytes == bundle.encode()));
    assert!(matches!(next(), Output::Send { to, message: BundleMessage::Announce(ids) }
        if to == [peer(3)] && ids == [id]));
    let receipt = ReceiptBody {
        network_id: network(),
        epoch: Epoch::new(1),
        id,
        place: Place::Position(0),
        height: Height::ZERO,
        time_ms: 8,
    };
    assert!(matches!(next(), Output::Append(entry)
        if entry == LogEntry { position: 0, id, receipt }));
    assert!(matches!(next(), Output::Reply { request: RequestId(5), reply: Reply::Receipt(body) }
        if body == receipt));
    assert_eq!(pool.bundle(&id).map(VerifiedBundle::id), Some(id));
    assert_eq!(pool.expires_at(&id), Some(Height::new(1_000)));
}

#[test]
fn invariant_5_a_held_id_gets_the_same_receipt_again() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let bundle = Terms::new(1, 1).seal();
    let first = bench.admitted(&bundle);
    bench.now_ms += 5_000;
    bench.finalize_height(3);
    assert_eq!(bench.admitted(&bundle), first);
    // Behind its peers it still answers for what it holds.
    bench.give(Input::Lagging { blocks: 1_000 });
    assert_eq!(bench.admitted(&bundle), first);
    bench.finalize_emitted(&[&bundle]);
    assert_eq!(bench.admitted(&bundle), first);
    assert_eq!(bench.log.len(), 1);
}

#[test]
fn requests_for_one_bundle_wait_for_one_verdict_and_no_more_than_allowed() {
    let mut pool = Pool::new(config(Limits { waiters: 2, ..Limits::DEFAULT })).unwrap();
    let bytes = Terms::new(1, 1).seal().encode();
    let submit = |pool: &mut Pool, request| {
        let (address, addressed) = (address(1), Vec::new());
        let bytes = bytes.clone();
        let request = RequestId(request);
        pool.handle(0, Input::Submitted { request, address, addressed, bytes })
    };
    let Some(Output::Verify(job)) = submit(&mut pool, 0).pop() else { panic!("no job") };
    assert!(submit(&mut pool, 1).is_empty());
    let outputs = submit(&mut pool, 2);
    let expected = Reply::Rejected(numbers(RejectionCode::Rate, 3, 2));
    assert!(matches!(&outputs[..],
        [Output::Reply { request: RequestId(2), reply }] if *reply == expected));
    let outputs = pool.handle(0, Input::Verified(job.run_inline()));
    let answered: Vec<u64> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Reply { request, reply: Reply::Receipt(_) } => Some(request.0),
            _ => None,
        })
        .collect();
    assert_eq!(answered, [0, 1]);
}

#[test]
fn codes_of_the_bytes_come_with_their_values() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let good = Terms::new(1, 1).seal().encode();
    let mut mutant = |mutate: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        mutate(&mut bytes);
        match bench.submit_bytes(1, bytes) {
            Some(Reply::Rejected(rejection)) => rejection,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(mutant(&|bytes| bytes[0] = 3), numbers(RejectionCode::Version, 3, 1));
    assert_eq!(mutant(&|bytes| bytes.push(0)).code, RejectionCode::Rlp);
    assert_eq!(mutant(&|bytes| bytes.truncate(9)).code, RejectionCode::Rlp);
    assert_eq!(mutant(&|bytes| *bytes = vec![1, 0xc1, 0x80]).code, RejectionCode::Field);
    let signature = mutant(&|bytes| {
        let last = bytes.len() - PAYER_SIGNATURE_BYTES;
        bytes[last..].iter_mut().for_each(|byte| *byte = 0);
    });
    assert_eq!(signature.code, RejectionCode::Signature);
    // Class 1 over the ciphertext of class 0; the field stands after two ids of 33 bytes.
    let class = good.iter().position(|byte| *byte == 0xa0).unwrap() + 66;
    assert_eq!(good[class], 0x80);
    let length = numbers(RejectionCode::Length, 704, 1_216);
    assert_eq!(mutant(&|bytes| bytes[class] = 1), length);
    assert_eq!(mutant(&|bytes| bytes[class] = 8), numbers(RejectionCode::Class, 8, 7));
}

#[test]
fn codes_of_signature_network_key_and_proof_come_with_their_values() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let mut submit = |bytes: Vec<u8>| match bench.submit_bytes(1, bytes) {
        Some(Reply::Rejected(rejection)) => rejection,
        other => panic!("{other:?}"),
    };
    let mut elsewhere = header();
    elsewhere.network_id = NetworkId::from_bytes([8; 32]);
    let rejection = submit(signed(elsewhere, &KEY, &elsewhere.encode()));
    let (actual, limit) = (Value::Digest([8; 32]), Value::Digest([9; 32]));
    assert_eq!(rejection, Rejection { code: RejectionCode::Network, actual, limit });
    let mut stale = header();
    stale.key_id = other_key().key_id();
    let rejection = submit(signed(stale, &other_key(), &stale.encode()));
    assert_eq!(rejection.code, RejectionCode::Key);
    assert_eq!(rejection.limit, Value::Digest(KEY.key_id().to_bytes()));
    let rejection = submit(signed(header(), &KEY, b"another header"));
    assert_eq!(rejection.code, RejectionCode::Proof);
    let mut foreign = header();
    foreign.payer = secret(2).payer();
    let m = Ciphertext::decode(&[0; 704]).unwrap();
    let unsigned = UnsignedBundle::new(foreign, m).unwrap();
    assert!(unsigned.sign(&secret(1)).is_err());
    assert_eq!(bench.pool.stats(), PoolStats::default());
}

#[test]
fn two_keys_overlap_and_a_third_is_rejected() {
    let mut config = config(Limits::DEFAULT);
    config.older_key = Some(other_key());
    let mut bench = Bench::of(Pool::new(config).unwrap());
    let mut older = header();
    older.key_id = other_key().key_id();
    let reply = bench.submit_bytes(1, signed(older, &other_key(), &older.encode()));
    assert!(matches!(reply, Some(Reply::Receipt(_))));
    let mut foreign = header();
    foreign.key_id = fairveil_crypto::KeyId::from_bytes([3; 32]);
    foreign.payer_nonce = 2;
    let reply = bench.submit_bytes(1, signed(foreign, &other_key(), &foreign.encode()));
    assert_eq!(code(reply), RejectionCode::Key);
}

#[test]
fn invariant_7_a_junk_signature_does_not_censor_the_id() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let bundle = Terms::new(1, 1).seal();
    let mut junk = bundle.encode();
    let last = junk.len() - PAYER_SIGNATURE_BYTES;
    junk[last + 3] ^= 1;
    assert_eq!(ParsedBundle::decode(&junk).unwrap().id(), bundle.id());
    for _ in 0..3 {
        assert_eq!(code(bench.submit_bytes(2, junk.clone())), RejectionCode::Signature);
    }
    bench.receive(2, BundleMessage::Relay(junk.clone()));
    assert_eq!(bench.faults.len(), 1);
    assert_eq!(bench.faults[0].1.code, RejectionCode::Signature);
    let receipt = bench.admitted(&bundle);
    // Nor does it pass for the bundle afterwards.
    assert_eq!(code(bench.submit_bytes(2, junk)), RejectionCode::Signature);
    assert_eq!(bench.admitted(&bundle), receipt);
}

#[test]
fn invariant_7_junk_in_the_same_job_does_not_censor_the_id() {
    let mut pool = Pool::new(config(Limits { jobs: 1, ..Limits::DEFAULT })).unwrap();
    let bundle = Terms::new(1, 1).seal();
    let mut junk = bundle.encode();
    let last = junk.len() - PAYER_SIGNATURE_BYTES;
    junk[last + 3] ^= 1;
    let blocker = Terms::new(2, 1).seal().encode();
    let mut jobs = Vec::new();
    for (request, bytes) in [(0, blocker), (1, junk), (2, bundle.encode())] {
        let (address, addressed) = (address(request as u8), Vec::new());
        let request = RequestId(request);
        let outputs = pool.handle(0, Input::Submitted { request, address, addressed, bytes });
        jobs.extend(outputs);
    }
    let Some(Output::Verify(first)) = jobs.pop() else { panic!("no job") };
    assert!(jobs.is_empty());
    let mut outputs = pool.handle(0, Input::Verified(first.run_inline()));
    let Some(Output::Verify(second)) = outputs.pop() else { panic!("no job") };
    assert_eq!(second.len(), 2);
    let replies: Vec<(u64, bool)> = pool
        .handle(0, Input::Verified(second.run_inline()))
        .into_iter()
        .filter_map(|output| match output {
            Output::Reply { request, reply } => {
                Some((request.0, matches!(reply, Reply::Receipt(_))))
            }
            _ => None,
        })
        .collect();
    assert_eq!(replies, [(1, false), (2, true)]);
}

#[test]
fn syncing_comes_before_rate_and_rate_before_the_bytes() {
    let limits = Limits { address_burst: 2, address_per_second: 1, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits);
    assert_eq!(code(bench.submit_bytes(1, vec![9])), RejectionCode::Version);
    assert_eq!(code(bench.submit_bytes(1, vec![9])), RejectionCode::Version);
    let reply = bench.submit_bytes(1, vec![9]);
    assert_eq!(reply, Some(Reply::Rejected(numbers(RejectionCode::Rate, 3, 2))));
    assert_eq!(code(bench.submit_bytes(2, vec![9])), RejectionCode::Version);
    bench.give(Input::Lagging { blocks: 65 });
    for from in [1, 2] {
        let reply = bench.submit_bytes(from, vec![9]);
        assert_eq!(reply, Some(Reply::Rejected(numbers(RejectionCode::Syncing, 65, 64))));
    }
    bench.give(Input::Lagging { blocks: 64 });
    bench.now_ms += 1_000;
    assert_eq!(code(bench.submit_bytes(1, vec![9])), RejectionCode::Version);
    assert_eq!(code(bench.submit_bytes(1, vec![9])), RejectionCode::Rate);
}

#[test]
fn window_and_horizon_come_before_the_signature() {
    let mut bench = Bench::new(Limits::DEFAULT);
    bench.finalize_height(10);
    let limit = 10 + 65_536;
    let far = Terms::new(1, 1).window(0, limit + 1).seal();
    let mut junk = far.encode();
    *junk.last_mut().unwrap() = 9;
    for bytes in [junk, far.encode()] {
        let expected = numbers(RejectionCode::Horizon, limit + 1, limit);
        assert_eq!(bench.submit_bytes(1, bytes), Some(Reply::Rejected(expected)));
    }
    bench.admitted(&Terms::new(1, 2).window(0, limit).seal());
}

#[test]
fn expired_says_when_it_could_be_reported_and_when_it_had_to_be() {
    let mut bench = Bench::new(Limits::DEFAULT);
    bench.finalize_height(100);
    let mut expired = |valid_from, expires_at| {
        bench.rejected(&Terms::new(1, 1).window(valid_from, expires_at).seal())
    };
    assert_eq!(expired(0, 99), numbers(RejectionCode::Expired, 100, 91));
    assert_eq!(expired(0, 107), numbers(RejectionCode::Expired, 100, 99));
    assert_eq!(expired(0, 5), numbers(RejectionCode::Expired, 100, 0));
    // A window that closes before anybody may report it.
    assert_eq!(expired(200, 206), numbers(RejectionCode::Expired, 199, 198));
    bench.admitted(&Terms::new(1, 2).window(0, 108).seal());
    bench.admitted(&Terms::new(1, 3).window(200, 207).seal());
}

#[test]
fn local_limits_come_in_their_order() {
    let limits = Limits {
        pool_bundles: 10,
        payer_bundles: 1,
        payer_burst: 3,
        payer_per_second: 1,
        ..Limits::DEFAULT
    };
    let mut bench = Bench::new(limits);
    bench.finalize_height(10);
    let first = Terms::new(1, 1).seal();
    bench.admitted(&first);
    // All at once: expired, nonce, payer limit. Then one less each time.
    let late = Terms::new(1, 1).window(0, 11).seal();
    assert_eq!(bench.rejected(&late).code, RejectionCode::Expired);
    let twin = Terms::new(1, 1).window(0, 500).seal();
    let rejection = bench.rejected(&twin);
    let (actual, limit) = (Value::Number(1), Value::Digest(first.id().to_bytes()));
    assert_eq!(rejection, Rejection { code: RejectionCode::Nonce, actual, limit });
    let second = Terms::new(1, 2).seal();
    assert_eq!(bench.rejected(&second), numbers(RejectionCode::PayerLimit, 2, 1));
    // Only admissions count against the payer's rate.
    for nonce in 3..10 {
        let rejection = bench.rejected(&Terms::new(1, nonce).seal());
        assert_eq!(rejection.code, RejectionCode::PayerLimit);
    }
}

#[test]
fn a_payers_rate_counts_what_was_admitted() {
    let limits = Limits { payer_burst: 2, payer_per_second: 1, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits);
    bench.admitted(&Terms::new(1, 1).seal());
    bench.admitted(&Terms::new(1, 2).seal());
    let third = Terms::new(1, 3).seal();
    assert_eq!(bench.rejected(&third), numbers(RejectionCode::Rate, 3, 2));
    bench.admitted(&Terms::new(2, 1).seal());
    bench.now_ms += 1_000;
    bench.admitted(&third);
}

#[test]
fn consumed_nonces_are_remembered_and_in_the_end_forgotten() {
    let mut bench = Bench::new(Limits::DEFAULT);
    let first = Terms::new(1, 1).seal();
    bench.finalize_emitted(&[&first]);
    let twin = Terms::new(1, 1).window(0, 500).seal();
    let rejection = bench.rejected(&twin);
    assert_eq!(rejection.code, RejectionCode::Nonce);
    assert_eq!(rejection.limit, Value::Digest(first.id().to_bytes()));
    bench.finalize_height(1 + (1 << 17));
    let (from, until) = (bench.height, bench.height + 100);
    assert_eq!(
        bench.rejected(&Terms::new(1, 1).window(from, until).seal()).code,
        RejectionCode::Nonce
    );
    bench.finalize_height(bench.height + 1);
    bench.admitted(&Terms::new(1, 1).window(from, until).seal());
}

#[test]
fn a_full_pool_turns_newcomers_away_and_drops_nothing() {
    let limits = Limits { pool_bundles: 20, payer_bundles: 20, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits);
    let mut held = Vec::new();
    let rejection = loop {
        let bundle = Terms::new(1, held.len() as u64).seal();
        match bench.submit(&bundle) {
            Reply::Receipt(_) => held.push(bundle),
            Reply::Rejected(rejection) => break rejection,
        }
    };
    assert_eq!(rejection, numbers(RejectionCode::PoolFull, 1, 0));
    assert!(held.len() >= 3);
    // Other traders and every peer have their part.
    assert!(matches!(
        bench.submit_bytes(2, Terms::new(2, 1).seal().encode()),
        Some(Reply::Receipt(_))
    ));
    for number in 2..=5 {
        let bundle = Terms::new(3, u64::from(number)).seal();
        bench.relay(number, &bundle);
        assert!(bench.held.contains(&bundle.id()));
    }
    assert!(held.iter().all(|bundle| bench.pool.bundle(&bundle.id()).is_some()));
    // What is emitted makes room.
    bench.finalize_emitted(&held.iter().collect::<Vec<_>>());
    bench.admitted(&Terms::new(1, 999).seal());
}

#[test]
fn what_is_remembered_is_bounded_by_turning_newcomers_away() {
    let limits = Limits { retained_ids: 2, ..Limits::DEFAULT };
    let mut bench = Bench::new(limits);
    let (a, b) = (Terms::new(1, 1).window(0, 50).seal(), Terms::new(1, 2).window(0, 50).seal());
    bench.admitted(&a);
    bench.admitted(&b);
    bench.finalize_emitted(&[&a, &b]);
    let next = Terms::new(1, 3).window(0, 5_000).seal();
    assert_eq!(bench.rejected(&next), numbers(RejectionCode::PoolFull, 3, 2));
    bench.finalize_height(2_000);
    assert!(bench.stored.is_empty());
    bench.admitted(&next);
}

#[test]
fn a_traders_flood_waits_behind_itself() {
    let limits = Limits { jobs: 1, job_bundles: 1, trader_queue_bundles: 8, ..Limits::DEFAULT };
    let mut pool = Pool::new(config(limits)).unwrap();
    let mut refused = 0;
    let mut job = None;
    for nonce in 0..12 {
        let bytes = Terms::new(1, nonce).seal().encode();
        let (request, address, addressed) = (RequestId(nonce), address(1), Vec::new());
        for output in pool.handle(0, Input::Submitted { request, address, addressed, bytes }) {
            match output {
                Output::Verify(first) => job = Some(first),
                Output::Reply { reply: Reply::Rejected(rejection), .. } => {
                    assert_eq!(rejection.code, RejectionCode::PoolFull);
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    // One is in the job, four of eight places are taken: the rest is for others.
    assert_eq!(refused, 7);
    let (request, addressed) = (RequestId(99), Vec::new());
    let bytes = Terms::new(2, 1).seal().encode();
    assert!(
        pool.handle(0, Input::Submitted { request, address: address(2), addressed, bytes })
            .is_empty()
    );
    // Its turn comes next, not after the flood: of the next two verdicts one is its own.
    let mut answered = Vec::new();
    for _ in 0..3 {
        for output in pool.handle(0, Input::Verified(job.take().unwrap().run_inline())) {
            match output {
                Output::Verify(next) => job = Some(next),
                Output::Reply { request, .. } => answered.push(request.0),
                _ => {}
            }
        }
    }
    assert_eq!(answered.len(), 3);
    assert!(answered.contains(&99), "{answered:?}");
}

#[test]
fn peers_are_told_once_and_junk_of_theirs_is_named() {
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2, 3, 4]);
    let bundle = Terms::new(1, 1).seal();
    bench.relay(2, &bundle);
    bench.relay(3, &bundle);
    bench.relay(2, &bundle);
    let told: Vec<u16> = bench.sent.iter().map(|(peer, _)| peer.get()).collect();
    assert_eq!(told, [3, 4]);
    assert_eq!(bench.logged(), [bundle.id()]);
    let mut junk = Terms::new(1, 2).seal().encode();
    junk[0] = 2;
    bench.receive(4, BundleMessage::Relay(junk));
    let mut third = header();
    third.payer_nonce = 3;
    bench.receive(3, BundleMessage::Relay(signed(third, &KEY, b"another header")));
    let faults: Vec<_> =
        bench.faults.iter().map(|(peer, fault)| (peer.get(), fault.code)).collect();
    assert_eq!(faults, [(4, RejectionCode::Version), (3, RejectionCode::Proof)]);
    // A peer whose pool has other limits is not at fault.
    bench.relay(4, &Terms::new(1, 1).window(0, 500).seal());
    assert_eq!((bench.faults.len(), bench.pool.stats().refused_from_peers), (2, 1));
}

#[test]
fn the_largest_class_passes_through() {
    let mut largest = header();
    largest.class = SizeClass::MAX;
    let bytes = signed(largest, &KEY, &largest.encode());
    assert!(BundleMessage::decode(&BundleMessage::Relay(bytes.clone()).encode()).is_ok());
    let mut bench = Bench::new(Limits::DEFAULT).connected_to(&[2]);
    assert!(matches!(bench.submit_bytes(1, bytes), Some(Reply::Receipt(_))));
}

#[test]
fn contradicting_limits_are_refused() {
    let limits = Limits { payer_bundles: 0, ..Limits::DEFAULT };
    let error = Pool::new(config(limits)).unwrap_err();
    assert_eq!(error.to_string(), "limits of the pool: payer_bundles is 1 to pool_bundles");
}

#[test]
fn a_thousand_addresses_have_one_turn_together() {
    let limits = Limits { jobs: 1, job_bundles: 1, ..Limits::DEFAULT };
    let mut pool = Pool::new(config(limits)).unwrap();
    let mut job = None;
    let give = |pool: &mut Pool, job: &mut Option<VerificationJob>, input| {
        let outputs = pool.handle(0, input);
        for output in outputs {
            if let Output::Verify(next) = output {
                *job = Some(next);
            }
        }
    };
    for nonce in 0..40 {
        let bytes = Terms::new(1, nonce).seal().encode();
        let (request, address, addressed) = (RequestId(nonce), address(nonce as u8), Vec::new());
        give(&mut pool, &mut job, Input::Submitted { request, address, addressed, bytes });
    }
    let of_peers: Vec<_> = (2..5).map(|number| Terms::new(2, number).seal()).collect();
    for (number, bundle) in (2..5).zip(&of_peers) {
        let message = BundleMessage::Relay(bundle.encode());
        give(&mut pool, &mut job, Input::Received { peer: peer(number), message });
    }
    // One turn in four is the traders'.
    for _ in 0..5 {
        let result = job.take().unwrap().run_inline();
        give(&mut pool, &mut job, Input::Verified(result));
    }
    assert!(of_peers.iter().all(|bundle| pool.bundle(&bundle.id()).is_some()));
}

#[test]
fn queues_are_bounded_in_bytes_too() {
    let mut largest = header();
    largest.class = SizeClass::MAX;
    let bytes = signed(largest, &KEY, &largest.encode());
    let limits = Limits {
        jobs: 1,
        job_bundles: 1,
        trader_queue_bytes: bytes.len() + 800,
        ..Limits::DEFAULT
    };
    let mut pool = Pool::new(config(limits)).unwrap();
    let mut submit = |request, bytes: Vec<u8>| {
        let (address, addressed) = (address(1), Vec::new());
        let request = RequestId(request);
        pool.handle(0, Input::Submitted { request, address, addressed, bytes })
    };
    assert!(matches!(submit(0, Terms::new(1, 5).seal().encode())[..], [Output::Verify(_)]));
    let small = Terms::new(1, 6).seal().encode();
    let (queued, left) = (small.len(), bytes.len() + 800 - small.len());
    assert!(submit(1, small).is_empty());
    let actual = (queued + bytes.len()) as u64;
    let expected = Reply::Rejected(numbers(RejectionCode::PoolFull, actual, left as u64));
    assert!(matches!(&submit(2, bytes)[..], [Output::Reply { reply, .. }] if *reply == expected));
}

use serde_json::json;

use super::*;

/// Genesis at 1,000 s, a block every 2 s.
fn config(change: impl Fn(&mut Value)) -> RollupConfig {
    let mut scalar = [0; 32];
    scalar[0] = ECOTONE_SCALAR;
    scalar[27] = 5;
    scalar[31] = 6;
    let mut operator = [0; 32];
    operator[23] = 7;
    operator[31] = 8;
    let mut document = json!({
        "genesis": {
            "l1": { "hash": B256::repeat_byte(1), "number": 10 },
            "l2": { "hash": B256::repeat_byte(2), "number": 3 },
            "l2_time": 1_000,
            "system_config": {
                "batcherAddr": Address::repeat_byte(4), "overhead": B256::ZERO,
                "scalar": B256::from(scalar), "gasLimit": 60_000_000,
                "eip1559Params": "0x000000fa00000006", "operatorFeeParams": B256::from(operator),
            },
        },
        "block_time": 2, "max_sequencer_drift": 600, "seq_window_size": 3_600,
        "channel_timeout": 300, "l1_chain_id": 900, "l2_chain_id": 901,
        "regolith_time": 0, "canyon_time": 0, "delta_time": 0, "ecotone_time": 0,
        "fjord_time": 0, "granite_time": 0, "holocene_time": 0, "isthmus_time": 0,
        "batch_inbox_address": Address::repeat_byte(0xff), "alt_da": null,
    });
    change(&mut document);
    serde_json::from_value(document).expect("a configuration")
}

#[test]
fn blocks_are_counted_from_the_genesis() {
    let config = config(|_| {});
    assert_eq!([3, 4, 9].map(|number| config.timestamp_s(number)), [1_000, 1_002, 1_012].map(Some));
    assert_eq!(config.timestamp_s(2), None);
    assert_eq!([1_000_000, 1_012_000].map(|ms| config.number_at(ms)), [3, 9].map(Some));
    assert_eq!([999_000, 1_001_000, 1_002_500].map(|ms| config.number_at(ms)), [None; 3]);
    assert_eq!(config.max_drift_s(), 1_800);
}

#[test]
fn fees_are_parts_of_words() {
    let fees = config(|_| {}).fees(1_002);
    assert_eq!((fees.base_fee_scalar, fees.blob_base_fee_scalar), (6, 5));
    assert_eq!(fees.operator_fee, Some(OperatorFee { scalar: 7, constant: 8 }));
    let before = config(|config| config["isthmus_time"] = json!(2_000)).fees(1_002);
    assert_eq!(before.operator_fee, None);
}

#[test]
fn rules_are_those_of_the_block() {
    let rules = |config: &RollupConfig, at_s: u64| config.rules(at_s - 2, at_s);
    let own = |config: &RollupConfig| match rules(config, 1_002).expect("known") {
        Rules::Isthmus(FeeParameters::Own { denominator, elasticity }) => {
            (denominator.get(), elasticity.get())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(own(&config(|_| {})), (250, 6));
    let later = config(|config| {
        config["isthmus_time"] = Value::Null;
        config["holocene_time"] = json!(1_006);
    });
    assert_eq!(rules(&later, 1_004).ok(), Some(Rules::Ecotone));
    assert_eq!(rules(&later, 1_006).ok(), Some(Rules::Holocene(FeeParameters::Chain)));
    assert!(matches!(rules(&later, 1_008), Ok(Rules::Holocene(FeeParameters::Own { .. }))));
}

#[test]
fn what_is_not_written_here_is_refused() {
    for (name, time_s, why) in [
        ("ecotone_time", 1_004, "earlier rules are not written here"),
        ("isthmus_time", 1_001, "its first block has deposits that are not written here"),
        ("jovian_time", 1_002, "is an upgrade that is not known here"),
        ("later_time", 0, "is an upgrade that is not known here"),
    ] {
        let config = config(|config| config[name] = json!(time_s));
        let error = config.rules(1_000, 1_002).expect_err("refused").to_string();
        assert!(error.contains(name) && error.contains(why), "{error}");
    }
    let planned = config(|config| config["jovian_time"] = json!(1_003));
    assert!(planned.rules(1_000, 1_002).is_ok());
    let half = config(|config| {
        config["genesis"]["system_config"]["eip1559Params"] = json!("0x000000fa00000000");
    });
    let error = half.rules(1_000, 1_002).expect_err("refused").to_string();
    assert!(error.contains("denominator 250 and elasticity 0"), "{error}");
    let early = config(|config| config["delta_time"] = json!(1_003));
    assert!(early.check_span_batches(1_003).is_ok());
    let error = early.check_span_batches(1_002).expect_err("refused").to_string();
    assert!(error.contains("`delta_time`: 1003 s"), "{error}");
}

//! kona's whole pipeline, driven as a node drives it: from L1 blocks to payload attributes.

use std::sync::Arc;

use alloy_consensus_1::Transaction;
use alloy_eips_1::BlockNumHash;
use alloy_eips_1::eip2718::Decodable2718;
use alloy_primitives::{Address, Bytes};
use fairveil_release::op::{Chain, L1Origin, L2Block, Parent};
use futures::executor::block_on;
use kona_derive::{
    EthereumDataSource, Pipeline, PipelineBuilder, PipelineError, PipelineErrorKind, ResetSignal,
    SignalReceiver, StatefulAttributesBuilder, StepResult,
};
use kona_genesis::{ChainGenesis, HardForkConfig, RollupConfig, SystemConfig};
use kona_protocol::{L1BlockInfoTx, OpAttributesWithParent};
use op_alloy_consensus::OpTxEnvelope;

use crate::l1::{L1, NoBlobs};
use crate::l2::{L2, info, made};

/// Steps after which a derivation is taken for endless.
const MAX_STEPS: usize = 100_000;
const DEPOSIT_TYPE: u8 = 0x7e;

/// Upgrades of the rollup, all from its genesis on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upgrades {
    /// Up to Delta: the first that reads span batches.
    Delta,
    /// Up to Isthmus: strict order of frames and batches (Holocene), transactions of type 4.
    Isthmus,
}

/// Who is derived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollup {
    pub(crate) chain: Chain,
    pub(crate) genesis: Parent,
    pub(crate) upgrades: Upgrades,
    pub(crate) inbox: Address,
    pub(crate) batcher: Address,
    pub(crate) l1_chain_id: u64,
}

/// The blocks that a node derives from L1, without deposits.
pub(crate) fn derived(rollup: &Rollup, l1: &L1) -> Vec<L2Block> {
    let config = Arc::new(rollup.config());
    let system = rollup.system();
    let genesis = info(&rollup.genesis, Default::default(), 0);
    let l2 = L2::new(genesis, system);
    let data = EthereumDataSource::new_from_parts(l1.clone(), NoBlobs, &config);
    let builder = StatefulAttributesBuilder::new(config.clone(), l2.clone(), l1.clone());
    let mut pipeline = PipelineBuilder::new()
        .rollup_config(config)
        .origin(l1.first())
        .dap_source(data)
        .builder(builder)
        .l2_chain_provider(l2.clone())
        .chain_provider(l1.clone())
        .build_polled();
    let reset =
        ResetSignal { l2_safe_head: genesis, l1_origin: l1.first(), system_config: Some(system) };
    block_on(pipeline.signal(reset.signal())).expect("the pipeline starts");

    let (mut head, mut parent) = (genesis, rollup.genesis);
    let mut blocks = Vec::new();
    for _ in 0..MAX_STEPS {
        match block_on(pipeline.step(head)) {
            StepResult::PreparedAttributes => {
                let attributes = pipeline.next().expect("attributes were prepared");
                assert_eq!(attributes.parent, head);
                let (block, seq_num) = block(&attributes);
                let next = made(&parent, &block);
                head = info(&next, parent.hash, seq_num);
                parent = next;
                l2.push(head);
                blocks.push(block);
            }
            StepResult::AdvancedOrigin
            | StepResult::StepFailed(PipelineErrorKind::Temporary(_)) => {}
            StepResult::OriginAdvanceErr(PipelineErrorKind::Critical(
                PipelineError::EndOfSource,
            )) => return blocks,
            other => panic!("derivation failed: {other:?}"),
        }
    }
    panic!("no end of L1 after {MAX_STEPS} steps");
}

impl Rollup {
    /// The rollup as kona is configured.
    pub(crate) fn config(&self) -> RollupConfig {
        let Parent { number, hash, timestamp_s, l1_origin } = self.genesis;
        let from_genesis = Some(0);
        let isthmus = from_genesis.filter(|_| self.upgrades == Upgrades::Isthmus);
        RollupConfig {
            genesis: ChainGenesis {
                l1: BlockNumHash { number: l1_origin.number, hash: l1_origin.hash },
                l2: BlockNumHash { number, hash },
                l2_time: timestamp_s,
                system_config: Some(self.system()),
            },
            block_time: self.chain.block_time_s,
            max_sequencer_drift: 600,
            seq_window_size: 3_600,
            channel_timeout: 300,
            l1_chain_id: self.l1_chain_id,
            l2_chain_id: self.chain.chain_id.into(),
            batch_inbox_address: self.inbox,
            hardforks: HardForkConfig {
                regolith_time: from_genesis,
                canyon_time: from_genesis,
                delta_time: from_genesis,
                ecotone_time: isthmus,
                fjord_time: isthmus,
                granite_time: isthmus,
                holocene_time: isthmus,
                isthmus_time: isthmus,
                ..HardForkConfig::default()
            },
            ..RollupConfig::default()
        }
    }

    fn system(&self) -> SystemConfig {
        SystemConfig {
            batcher_address: self.batcher,
            gas_limit: 60_000_000,
            ..SystemConfig::default()
        }
    }
}

/// The block that payload attributes describe, and its place in its epoch.
fn block(attributes: &OpAttributesWithParent) -> (L2Block, u64) {
    assert_eq!(attributes.inner.no_tx_pool, Some(true));
    let all = attributes.inner.transactions.as_deref().unwrap_or_default();
    let is_deposit = |raw: &&Bytes| raw.first() == Some(&DEPOSIT_TYPE);
    let deposits = all.iter().take_while(is_deposit).count();
    assert_eq!(deposits, 1, "the L1 info, and nobody deposits here");
    let l1_info = OpTxEnvelope::decode_2718_exact(&all[0]).expect("a deposit");
    let l1_info = L1BlockInfoTx::decode_calldata(l1_info.input()).expect("the L1 info");
    let BlockNumHash { number, hash } = l1_info.id();
    let block = L2Block {
        number: attributes.block_number(),
        timestamp_s: attributes.inner.payload_attributes.timestamp,
        l1_origin: L1Origin { number, hash },
        transactions: all[deposits..].iter().cloned().map(Into::into).collect(),
    };
    (block, l1_info.sequence_number())
}

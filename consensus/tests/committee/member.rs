//! One kind of chain for all members: honest or lying, and in any case remembering what it refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use commonware_utils::sync::Mutex;
use fairveil_consensus::block::{Body, Draft};
use fairveil_consensus::chain::{Chain, Executed, Slot, Tip};
use fairveil_consensus::equivocation::ConflictingVotes;
use fairveil_consensus::timing::Load;
use fairveil_consensus::{Block, BlockFault, BlockOutput, ChainState};
use fairveil_crypto::{Digest, SequencerIndex};

use crate::harness::Honest;

/// What a leader does to its blocks.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    ResultRoot,
    TimeAhead,
    TimeBack,
    FewHeads,
    OmittedIds,
    ForeignHead,
    ReleaseRoot,
    ReleaseOrder,
    WrongView,
}

/// Proposes tampered blocks, votes honestly; or is honest and remembers what it refused.
#[derive(Clone)]
pub struct Member {
    honest: Honest,
    lie: Option<Lie>,
    pub proposed: Arc<Mutex<BTreeSet<fairveil_crypto::BlockDigest>>>,
    pub refused: Arc<Mutex<Vec<BlockFault>>>,
}

impl Member {
    pub fn new(honest: Honest, lie: Option<Lie>) -> Self {
        Self { honest, lie, proposed: Arc::default(), refused: Arc::default() }
    }

    fn note<R>(&self, result: Result<R, BlockFault>) -> Result<R, BlockFault> {
        if let Err(fault) = &result {
            self.refused.lock().push(fault.clone());
        }
        result
    }
}

fn tampered(lie: Lie, parent: &ChainState, block: &Block) -> Block {
    let (mut header, body): (_, Body) = (block.header().clone(), block.body().clone());
    let ordering = parent.ordering();
    let evidence = ordering.unpack(&body.evidence).unwrap();
    let mut body = Draft { evidence, releases: body.releases, system: body.system };
    let other = Digest::from_bytes([0xee; 32]);
    match lie {
        Lie::ResultRoot => header.result_root = other,
        Lie::TimeAhead => header.time_ms += 1,
        Lie::TimeBack => header.time_ms -= 1,
        Lie::FewHeads => body.evidence.fragments.truncate(3),
        Lie::OmittedIds => {
            for fragment in &mut body.evidence.fragments {
                fragment.ids.pop();
                let committed = ordering.committed(fragment.head.sequencer).unwrap();
                let tip = committed.after_all(&fragment.ids);
                (fragment.head.length, fragment.head.head) = (tip.length, tip.head);
            }
        }
        Lie::ForeignHead => {
            let time_ms = &mut body.evidence.fragments[0].head.time_ms;
            *time_ms += 60_000;
        }
        Lie::ReleaseRoot => {
            if let Some((_, root)) = body.releases.last_mut() {
                *root = other;
            }
        }
        Lie::ReleaseOrder => {
            if let Some((height, _)) = body.releases.last_mut() {
                *height = height.next();
            }
        }
        Lie::WrongView => header.view = header.view.next(),
    }
    let body = parent.pack(&body).unwrap();
    header.body_digest = body.digest();
    Block::new(header, body).unwrap()
}

impl Chain for Member {
    type State = ChainState;
    type Output = Arc<BlockOutput>;
    type Fault = BlockFault;

    fn tip(state: &ChainState) -> Tip {
        state.tip()
    }

    fn load(&self, parent: &ChainState, block: &Block) -> Load {
        self.honest.load(parent, block)
    }

    async fn work(&self, parent: &ChainState) {
        self.honest.work(parent).await;
    }

    async fn build(&self, slot: Slot, parent: &ChainState) -> Option<Executed<Self>> {
        let Executed { block, state, output } = self.honest.build(slot, parent).await?;
        let Some(lie) = self.lie else { return Some(Executed { block, state, output }) };
        let tampered = tampered(lie, parent, &block);
        if tampered != block {
            self.proposed.lock().insert(tampered.block_digest());
        }
        Some(Executed { block: tampered, state, output })
    }

    async fn execute(
        &self,
        parent: &ChainState,
        block: &Block,
    ) -> Result<Executed<Self>, BlockFault> {
        let executed = self.note(self.honest.execute(parent, block).await)?;
        let Executed { block, state, output } = executed;
        Ok(Executed { block, state, output })
    }

    async fn approve(&self, parent: &ChainState, block: &Block) -> Result<(), BlockFault> {
        self.note(self.honest.approve(parent, block).await)
    }

    fn equivocation(&self, culprit: SequencerIndex, votes: ConflictingVotes) {
        self.honest.equivocation(culprit, votes);
    }
}

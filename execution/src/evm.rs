//! One leg in the EVM of its rollup.
//!
//! An EVM is built for a leg where it runs, since it can't be sent to another thread; what it works
//! on, a journal, is moved in and comes out again. Each transaction's effects go into the journal
//! as a block would take them, so the next one finds what it would find on its chain.

use op_revm::{L1BlockInfo, OpBuilder, OpContext, OpSpecId};
use revm::ExecuteEvm;
use revm::context::{BlockEnv, CfgEnv, Context};
use revm::context_interface::result::EVMError;

use crate::block::Block;
use crate::bundle::{Leg, Policy};
use crate::layer::{Journal, Layer};
use crate::outcome::{Fault, Invalid, Receipt};

/// What an EVM of a rollup is built of, once per slot.
pub(crate) struct Rules {
    block: Block,
    environment: BlockEnv,
    configuration: CfgEnv<OpSpecId>,
    l1_block_info: L1BlockInfo,
}

/// Why a leg was not executed to its end.
pub(crate) enum Stop {
    /// A transaction, counted from zero, that the chain would not take.
    Invalid { tx: u16, why: Invalid },
    /// A transaction, counted from zero, that failed, where none may.
    Failed { tx: u16, why: Fault },
    /// The state can't be read.
    Unavailable,
}

impl Rules {
    pub(crate) fn new(chain_id: u64, block: Block) -> Self {
        let mut configuration = CfgEnv::new_with_spec(block.hardfork.spec());
        configuration.chain_id = chain_id;
        let (environment, l1_block_info) = (block.environment(), block.l1_block_info());
        Self { block, environment, configuration, l1_block_info }
    }

    /// Executes the leg over the journal: what it changes, and a receipt per transaction.
    pub(crate) fn execute(
        &self,
        journal: Journal<'_>,
        leg: &Leg,
        policy: Policy,
    ) -> Result<(Layer, Vec<Receipt>), Stop> {
        let context: OpContext<Journal<'_>> = Context::new(journal, self.block.hardfork.spec());
        let mut evm = context
            .with_block(self.environment.clone())
            .with_cfg(self.configuration.clone())
            .with_chain(self.l1_block_info.clone())
            .build_op();
        let mut receipts = Vec::with_capacity(leg.transactions.len());
        for (transaction, tx) in leg.transactions.iter().zip(0u16..) {
            let result =
                evm.transact_one(transaction.to_environment()).map_err(|error| match error {
                    EVMError::Transaction(error) => {
                        let why = Invalid::new(&error, transaction, &self.block);
                        Stop::Invalid { tx, why }
                    }
                    EVMError::Database(_) => Stop::Unavailable,
                    EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_) => {
                        Stop::Invalid { tx, why: Invalid::Refused }
                    }
                })?;
            let receipt = Receipt::new(result);
            if let (Policy::Execute, Some(why)) = (policy, &receipt.fault) {
                return Err(Stop::Failed { tx, why: why.clone() });
            }
            let state = evm.finalize();
            evm.0.ctx.journaled_state.database.write(state);
            receipts.push(receipt);
        }
        Ok((evm.into_context().journaled_state.database.into_layer(), receipts))
    }
}

//! A rollup's EVM.
//!
//! An EVM can't be sent to another thread, so it is built where a run of bundles is simulated; what
//! it works on, a journal, is moved in and comes out again. Each transaction's effects go into the
//! journal as a block would take them, so the next one finds what it would find on its chain.
//!
//! # Invariants
//!
//! 1. An EVM carries nothing from one leg to the next but the journal: one that is built for every
//!    leg does the same. After an error it is not used again.

use op_revm::api::builder::DefaultOpEvm;
use op_revm::{L1BlockInfo, OpBuilder, OpContext, OpSpecId, OpTransactionError};
use revm::ExecuteEvm;
use revm::context::{BlockEnv, CfgEnv, Context};
use revm::context_interface::result::EVMError;

use crate::block::Block;
use crate::bundle::{Leg, Policy};
use crate::layer::Journal;
use crate::outcome::{Fault, Invalid, Receipt};
use crate::sender::RecoveredTransaction;
use crate::state::StateError;

/// What EVMs of a rollup are built of, once per slot.
pub(crate) struct Rules {
    block: Block,
    environment: BlockEnv,
    configuration: CfgEnv<OpSpecId>,
}

/// An EVM with its rollup's journal.
pub(crate) struct Machine {
    block: Block,
    l1_block_info: L1BlockInfo,
    evm: DefaultOpEvm<OpContext<Journal>>,
}

/// Why a leg was not executed to its end. Transactions are counted from zero.
pub(crate) enum Stop {
    /// The chain would not take a transaction.
    Invalid { tx: u16, why: Invalid },
    /// A transaction failed where none may.
    Failed { tx: u16, why: Fault },
    /// The state can't be read.
    Unavailable,
}

impl Rules {
    pub(crate) fn new(chain_id: u64, block: Block) -> Self {
        let mut configuration = CfgEnv::new_with_spec(block.hardfork.spec());
        configuration.chain_id = chain_id;
        Self { block, environment: block.environment(), configuration }
    }

    /// Goes on to another block of the rollup.
    pub(crate) fn enter(&mut self, block: Block) {
        if self.block != block {
            *self = Self::new(self.configuration.chain_id, block);
        }
    }

    pub(crate) fn machine(&self, journal: Journal) -> Machine {
        let context: OpContext<Journal> = Context::new(journal, self.block.hardfork.spec());
        let evm = context
            .with_block(self.environment.clone())
            .with_cfg(self.configuration.clone())
            .build_op();
        Machine { block: self.block, l1_block_info: self.block.l1_block_info(), evm }
    }
}

impl Machine {
    /// Executes a leg: a receipt per transaction, and the effects are in the journal. If it stops,
    /// some may be there too, for whoever stopped it to discard.
    pub(crate) fn execute(&mut self, leg: &Leg, policy: Policy) -> Result<Vec<Receipt>, Stop> {
        self.evm.0.ctx.chain = self.l1_block_info.clone();
        let mut receipts = Vec::with_capacity(leg.transactions.len());
        for (transaction, tx) in leg.transactions.iter().zip(0u16..) {
            let result = self.evm.transact_one(transaction.to_environment());
            let result = result.map_err(|error| self.stop(error, transaction, tx))?;
            let receipt = Receipt::new(result);
            let state = self.evm.finalize();
            if let (Policy::Execute, Some(why)) = (policy, &receipt.fault) {
                return Err(Stop::Failed { tx, why: why.clone() });
            }
            self.journal().write(state);
            receipts.push(receipt);
        }
        Ok(receipts)
    }

    pub(crate) fn journal(&mut self) -> &mut Journal {
        &mut self.evm.0.ctx.journaled_state.database
    }

    pub(crate) fn into_journal(self) -> Journal {
        self.evm.into_context().journaled_state.database
    }

    fn stop(
        &self,
        error: EVMError<StateError, OpTransactionError>,
        transaction: &RecoveredTransaction,
        tx: u16,
    ) -> Stop {
        match error {
            EVMError::Transaction(error) => {
                Stop::Invalid { tx, why: Invalid::new(&error, transaction, &self.block) }
            }
            EVMError::Database(_) => Stop::Unavailable,
            EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_) => {
                Stop::Invalid { tx, why: Invalid::Refused }
            }
        }
    }
}

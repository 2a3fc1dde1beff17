//! Opens exactly the bundles of a final order and cuts them into atomic batches per rollup

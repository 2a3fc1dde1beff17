#![no_main]

fairveil_fuzz::target!("chain_snapshot");

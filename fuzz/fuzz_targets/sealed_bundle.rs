#![no_main]

fairveil_fuzz::target!("sealed_bundle");

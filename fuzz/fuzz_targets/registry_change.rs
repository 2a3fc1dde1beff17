#![no_main]

fairveil_fuzz::target!("registry_change");

#![no_main]

fairveil_fuzz::target!("fault_evidence");

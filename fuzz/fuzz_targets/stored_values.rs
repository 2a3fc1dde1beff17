#![no_main]

fairveil_fuzz::target!("stored_values");

#![no_main]

fairveil_fuzz::target!("blame");

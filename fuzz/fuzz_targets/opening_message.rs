#![no_main]

fairveil_fuzz::target!("opening_message");

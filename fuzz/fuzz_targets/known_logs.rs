#![no_main]

fairveil_fuzz::target!("known_logs");

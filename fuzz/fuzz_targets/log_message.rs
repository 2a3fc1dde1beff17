#![no_main]

fairveil_fuzz::target!("log_message");

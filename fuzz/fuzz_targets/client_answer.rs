#![no_main]

fairveil_fuzz::target!("client_answer");

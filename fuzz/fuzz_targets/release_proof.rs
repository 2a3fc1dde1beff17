#![no_main]

fairveil_fuzz::target!("release_proof");

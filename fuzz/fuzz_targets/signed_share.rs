#![no_main]

fairveil_fuzz::target!("signed_share");

#![no_main]

fairveil_fuzz::target!("points_and_scalars");

#![no_main]

fairveil_fuzz::target!("batcher_frames");

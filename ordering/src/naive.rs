//! The same order by plain transcription, and a judge that knows only the truth.
//!
//! For tests and for benches that want a baseline. Nothing here shares code with the product.

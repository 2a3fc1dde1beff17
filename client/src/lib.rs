//! The trader's side: builds, seals, submits, follows and verifies

//! Measures, always beside a baseline in the same run

//! Runs the ceremony that makes the committee key, and defines its files

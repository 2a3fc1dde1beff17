//! Defines what a bundle is, seals it, and admits sealed bundles within limits

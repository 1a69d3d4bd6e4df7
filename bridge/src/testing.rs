//! For tests: a store in memory.

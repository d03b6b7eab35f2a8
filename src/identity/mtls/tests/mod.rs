//! Tests of client certificates as a whole.

//! Client certificates as a whole: every form, every reason beside a positive control, configuration, published vectors.

mod arriving;
mod configuration;
mod forms;
mod known;
mod naming;
mod random;
mod revocation;
mod support;
mod vectors;
mod verifying;

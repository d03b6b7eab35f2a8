//! Properties of the native format.

//! URLs of other services.

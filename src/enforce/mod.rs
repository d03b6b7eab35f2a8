//! Decision to deed: the response of a denial, and the headers of a request that goes on.
//!
//! Pure: what to send is decided here, sending it is the shell's. Forwarding starts from a [`crate::decision::Passage`].

mod answer;
mod asked;
mod challenge;
mod forward;
mod metadata;
mod names;
mod origin;
mod own;
mod signed;

pub use answer::{Answer, DECISION_ID};
pub use challenge::Challenge;
pub use forward::{Forwarded, Onward, forward, response_headers};
pub use origin::{Destination, Origin, OriginError};
pub use signed::SignedItem;

//! Which fetched keys an instance prepares: those that tokens go on being signed with, and not more than there is room for.
//! A list without clock or I/O.

use crate::limits;

/// The fetched keys that verified tokens last.
#[derive(Debug, Default)]
pub struct Preparation {
    /// The last used first.
    recent: Vec<Used>,
}

#[derive(Debug)]
struct Used {
    key: FetchedKey,
    /// Tokens it verified since it was last prepared.
    tokens: usize,
}

/// A fetched key by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedKey {
    /// The issuer's name in `keys/issuers.toml`.
    pub issuer: String,
    /// The name of the key.
    pub kid: String,
}

/// What to do after a token was verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Preparing {
    /// Whether its key is to be prepared now.
    pub now: bool,
    /// The key that has to make room.
    pub forget: Option<FetchedKey>,
}

impl Preparation {
    /// A token verified with this key, which is `prepared` or not. Only keys of tokens that were believed: whoever forges them
    /// must not choose what an instance works on.
    pub fn used(&mut self, key: FetchedKey, prepared: bool) -> Preparing {
        let known = self.recent.iter().position(|used| used.key == key).map(|at| self.recent.remove(at));
        let mut used = known.unwrap_or(Used { key, tokens: 0 });
        // A set that was fetched anew comes without what was prepared.
        used.tokens = if prepared { 0 } else { used.tokens.saturating_add(1) };
        let now = used.tokens >= limits::PREPARED_AFTER;
        if now {
            used.tokens = 0;
        }
        self.recent.insert(0, used);
        let over = self.recent.len() > limits::PREPARED_FETCHED;
        let forget = if over { self.recent.pop().map(|used| used.key) } else { None };
        Preparing { now, forget }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> FetchedKey {
        FetchedKey { issuer: "corp".to_owned(), kid: number.to_string() }
    }

    #[test]
    fn a_key_is_prepared_once_it_has_verified_some_tokens() {
        let mut preparation = Preparation::default();
        for _ in 1..limits::PREPARED_AFTER {
            assert_eq!(preparation.used(key(1), false), Preparing::default());
        }
        assert_eq!(preparation.used(key(1), false), Preparing { now: true, forget: None });
        for _ in 0..100 {
            assert_eq!(preparation.used(key(1), true), Preparing::default());
        }
        // A new set: from the beginning.
        for _ in 1..limits::PREPARED_AFTER {
            assert!(!preparation.used(key(1), false).now);
        }
        assert!(preparation.used(key(1), false).now);
    }

    #[test]
    fn the_key_that_was_not_used_for_longest_makes_room() {
        let mut preparation = Preparation::default();
        for number in 0..limits::PREPARED_FETCHED {
            assert_eq!(preparation.used(key(number), true), Preparing::default());
        }
        preparation.used(key(0), true);
        assert_eq!(preparation.used(key(1_000), false), Preparing { now: false, forget: Some(key(1)) });
        assert_eq!(preparation.used(key(1), false), Preparing { now: false, forget: Some(key(2)) });
        assert_eq!(preparation.recent.len(), limits::PREPARED_FETCHED);
    }
}

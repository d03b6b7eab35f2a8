//! Step-up: a `forbid` that a stronger or a more recent login would lift, and says so (RFC 9470).
//!
//! Two annotations say it, `@step_up_acr` and `@step_up_max_age`. They change nothing about what is decided; they only choose
//! between "you may not" and "log in again".

use cedar_policy::{Effect, Policy};

use crate::decision::UnixTime;
use crate::identity::TokenIdentity;
use crate::limits;

/// The annotation with the `acr` values that would do, separated by spaces, the preferred one first.
pub(super) const ACR: &str = "step_up_acr";
/// The annotation with the seconds a login may be ago.
pub(super) const MAX_AGE: &str = "step_up_max_age";

/// What login a denied caller is asked for (RFC 9470, section 3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepUp {
    /// `acr` values, the preferred one first; empty when any will do.
    pub acr_values: Vec<String>,
    /// How many seconds ago the login may be.
    pub max_age: Option<u32>,
}

/// What is wrong with one of the annotations: its name, what, and what to do.
pub(super) type Wrong = (&'static str, String, &'static str);

/// Reads the annotations of a policy.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn read(policy: &Policy) -> Result<Option<StepUp>, Vec<Wrong>> {
    let (acr, age) = (policy.annotation(ACR), policy.annotation(MAX_AGE));
    let mut wrong = vec![];
    if policy.effect() != Effect::Forbid {
        let permit = |name| {
            (name, format!("`@{name}` on a `permit`"), "put it on a `forbid`: a `permit` that does not apply leaves no trace in the answer")
        };
        wrong.extend([acr.map(|_| permit(ACR)), age.map(|_| permit(MAX_AGE))].into_iter().flatten());
        return if wrong.is_empty() { Ok(None) } else { Err(wrong) };
    }
    let mut found = StepUp::default();
    match acr.map(acr_values) {
        None => {}
        Some(Ok(values)) => found.acr_values = values,
        Some(Err(what)) => wrong.push((ACR, what, "write the `acr` values the issuer knows, separated by single spaces")),
    }
    match age.map(max_age) {
        None => {}
        Some(Some(seconds)) => found.max_age = Some(seconds),
        Some(None) => {
            let text = age.unwrap_or_default().escape_debug();
            wrong.push((MAX_AGE, format!("`{text}` is not a number of seconds"), "write a whole number from 1 on, such as \"300\""));
        }
    }
    match (wrong.is_empty(), acr.or(age)) {
        (false, _) => Err(wrong),
        (true, None) => Ok(None),
        (true, Some(_)) => Ok(Some(found)),
    }
}

/// The values of an `@step_up_acr`.
///
/// SECURITY: they go into a header field as a quoted string, so only what needs no quoting there may be in them.
fn acr_values(text: &str) -> Result<Vec<String>, String> {
    if text.len() > limits::SHORT_CLAIM_BYTES {
        return Err(format!("`@{ACR}` has more than {} bytes", limits::SHORT_CLAIM_BYTES));
    }
    let mut values: Vec<String> = vec![];
    for value in text.split(' ') {
        if value.is_empty() || !value.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            return Err(format!("`{}` is not a list of `acr` values", text.escape_debug()));
        }
        if values.iter().any(|known| known == value) {
            return Err(format!("`{value}` occurs twice in `@{ACR}`"));
        }
        values.push(value.to_owned());
    }
    Ok(values)
}

/// The seconds of an `@step_up_max_age`: 0 could never be met, for a request comes after its login.
fn max_age(text: &str) -> Option<u32> {
    let plain = text.starts_with(|c: char| matches!(c, '1'..='9')) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

impl StepUp {
    /// Whether a token already comes from such a login: then asking for one leads nowhere.
    pub(super) fn met_by(&self, token: &TokenIdentity, now: UnixTime) -> bool {
        let acr = self.acr_values.is_empty() || token.acr.as_ref().is_some_and(|acr| self.acr_values.contains(acr));
        let recent = |most: u32| token.auth_time.is_some_and(|time| now.0.saturating_sub(time.0) <= i64::from(most));
        acr && self.max_age.is_none_or(recent)
    }

    /// What lifts all of them: the smallest age, and the `acr` values that all of them take. Where none does, all values, in
    /// order: the issuer then chooses, and the next answer asks for the rest.
    pub(super) fn all(each: &[&Self]) -> Self {
        let lists: Vec<&[String]> = each.iter().map(|one| &*one.acr_values).filter(|values| !values.is_empty()).collect();
        let mut every: Vec<String> = vec![];
        for value in lists.iter().copied().flatten() {
            if !every.contains(value) {
                every.push(value.clone());
            }
        }
        let common: Vec<String> = every.iter().filter(|value| lists.iter().all(|list| list.contains(value))).cloned().collect();
        let max_age = each.iter().filter_map(|one| one.max_age).min();
        Self { acr_values: if common.is_empty() { every } else { common }, max_age }
    }
}

#[cfg(test)]
mod tests {
    use super::{StepUp, acr_values, max_age};

    fn step_up(acr: &[&str], max_age: Option<u32>) -> StepUp {
        StepUp { acr_values: acr.iter().map(|value| (*value).to_owned()).collect(), max_age }
    }

    #[test]
    fn the_smallest_age_and_the_values_that_all_take() {
        let all = |each: &[StepUp]| StepUp::all(&each.iter().collect::<Vec<_>>());
        assert_eq!(all(&[step_up(&["a", "b"], None)]), step_up(&["a", "b"], None));
        assert_eq!(all(&[step_up(&["a", "b"], Some(9)), step_up(&["b", "c"], Some(5))]), step_up(&["b"], Some(5)));
        assert_eq!(all(&[step_up(&["a"], None), step_up(&["b", "a"], None), step_up(&[], Some(7))]), step_up(&["a"], Some(7)));
        assert_eq!(all(&[step_up(&["b"], None), step_up(&["a"], None)]), step_up(&["b", "a"], None));
    }

    #[test]
    fn values_fit_a_quoted_string() {
        assert_eq!(acr_values("urn:a:b phr").unwrap(), ["urn:a:b", "phr"]);
        for bad in ["", " ", "a  b", " a", "a ", "a\"b", "a\\b", "a\tb", "a\nb", "ä", "a a", &"x".repeat(300)] {
            assert!(acr_values(bad).is_err(), "{bad:?}");
        }
        assert_eq!((max_age("1"), max_age("300"), max_age("4294967295")), (Some(1), Some(300), Some(u32::MAX)));
        for bad in ["", "0", "00", "0300", "+3", "-3", "3.0", "5m", " 5", "4294967296", "٣"] {
            assert_eq!(max_age(bad), None, "{bad:?}");
        }
    }
}

//! The `status` claim of a token (section 6.2 of the draft).

use crate::decision::{Denial, Reason};
use crate::identity::Url;
use crate::identity::issuers::Issuer;
use crate::identity::json::{Json, Object};
use crate::identity::text;
use crate::limits;

/// Where a token's status stands (`status.status_list`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReference {
    /// The issuer's name in `keys/issuers.toml`.
    pub issuer: String,
    /// The list's address, exactly as in the token: the list names itself by it.
    pub uri: String,
    /// The token's place in it.
    pub index: u64,
}

/// The reference in a token's claims; `None` when it has none and its issuer asks for none.
///
/// # Errors
/// `jwt.status_invalid`: malformed, of a mechanism that is not known here, or to a list the issuer may not name. What cannot
/// be followed refuses the token: its issuer said that its status matters.
pub(in crate::identity) fn of_token(issuer: &Issuer, claims: &Object) -> Result<Option<StatusReference>, Denial> {
    let refused = |detail: String| Denial::new(Reason::JwtStatusInvalid, detail);
    let Some(status) = claims.get("status") else {
        return match issuer.lists.required {
            true => Err(refused(format!("no `status`, which issuer `{}` requires", issuer.name))),
            false => Ok(None),
        };
    };
    let status = status.as_object().ok_or_else(|| refused("`status` is not an object".to_owned()))?;
    // Other mechanisms may stand beside it: each alone tells the status.
    let list = match status.get("status_list") {
        Some(Json::Object(list)) => list,
        Some(_) => return Err(refused("`status_list` is not an object".to_owned())),
        None => return Err(refused("`status` has no `status_list`, the only mechanism known here".to_owned())),
    };
    let most = u64::try_from(limits::STATUS_LIST_BYTES).unwrap_or(u64::MAX).saturating_mul(8);
    let index = match list.get("idx") {
        Some(Json::Int(index)) => u64::try_from(*index).ok().filter(|index| *index < most),
        _ => None,
    };
    let index = index.ok_or_else(|| refused(format!("`idx` is not a whole number from 0 to below {most}")))?;
    let uri = list.get("uri").and_then(Json::as_str).ok_or_else(|| refused("`uri` is not a string".to_owned()))?;
    let shown = text::shown(uri);
    let url = Url::parse(uri).ok_or_else(|| refused(format!("`uri` is `{shown}`, which is not an address")))?;
    if !issuer.lists.allow(&url) {
        return Err(refused(format!("`status_lists` of issuer `{}` does not allow `{shown}`", issuer.name)));
    }
    Ok(Some(StatusReference { issuer: issuer.name.clone(), uri: uri.to_owned(), index }))
}

//! The answer to a request for signed URLs: for each, the URL or a problem.

use serde_json::{Map, Value, json};

use super::DECISION_ID;
use super::answer::{Answer, field, public_code, title};
use crate::decision::{Denial, Reason};
use crate::signed_url::Issued;

/// What became of one URL. No `Debug`: a URL is a credential.
pub enum SignedItem<'a> {
    /// It was made.
    Issued(&'a Issued),
    /// It was not; with the status for this caller.
    Refused(&'a Denial, u16),
}

impl Answer {
    /// The answer to a caller with an identity: 200 when at least one URL was made, else the status of the first that was not.
    pub fn signed(items: &[SignedItem<'_>], decision_id: &str) -> Self {
        let told: Vec<Value> = items.iter().map(tell).collect();
        let made = items.iter().any(|item| matches!(item, SignedItem::Issued(_)));
        let refused = items.iter().find_map(|item| match item {
            SignedItem::Refused(denial, status) => Some((denial.reason, *status)),
            SignedItem::Issued(_) => None,
        });
        let (status, media_type, body) = match refused {
            Some((reason, status)) if !made => {
                let mut body = problem(reason, status, "");
                body.insert("decision_id".to_owned(), json!(decision_id));
                body.insert("items".to_owned(), json!(told));
                (status, "application/problem+json", Value::Object(body))
            }
            _ => (200, "application/json", json!({ "decision_id": decision_id, "items": told })),
        };
        let mut headers = vec![field("content-type", media_type), field("cache-control", "no-store"), field(DECISION_ID, decision_id)];
        for item in items {
            if let SignedItem::Issued(issued) = item {
                headers.extend(issued.set_cookies.iter().map(|cookie| field("set-cookie", cookie)));
            }
        }
        Self::with_body(status, headers, body.to_string())
    }
}

fn tell(item: &SignedItem<'_>) -> Value {
    match item {
        SignedItem::Issued(issued) => {
            let Issued { url, cookies, set_cookies: _, expires_at, link_id, key_id, format } = issued;
            let mut told = Map::new();
            let mut add = |name: &str, value: Value| drop(told.insert(name.to_owned(), value));
            if let Some(url) = url {
                add("url", json!(url));
            }
            if !cookies.is_empty() {
                add("cookies", cookies.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into());
            }
            add("expires_at", json!(expires_at.0));
            add("format", json!(format.name()));
            add("key_id", json!(key_id));
            if let Some(id) = link_id {
                add("link_id", json!(id));
            }
            Value::Object(told)
        }
        SignedItem::Refused(denial, status) => {
            // Only what is wrong with the caller's own words is explained; why a policy said no is for the record.
            let detail = if matches!(denial.reason, Reason::SignLifetime | Reason::SignFormat) { denial.detail.as_str() } else { "" };
            json!({ "problem": problem(denial.reason, *status, detail) })
        }
    }
}

fn problem(reason: Reason, status: u16, detail: &str) -> Map<String, Value> {
    let mut problem = Map::new();
    let mut add = |name: &str, value: Value| drop(problem.insert(name.to_owned(), value));
    add("type", json!("about:blank"));
    add("title", json!(title(status)));
    add("status", json!(status));
    add("code", json!(public_code(reason, status)));
    if !detail.is_empty() {
        add("detail", json!(detail));
    }
    problem
}

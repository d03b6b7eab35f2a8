//! Responses of the gate's own endpoints to callers who may use them.

use serde_json::{Value, json};

use super::DECISION_ID;
use super::answer::{Answer, field, title};
use crate::decision::Denial;

impl Answer {
    /// JSON for a caller whose request was carried out.
    pub fn done(status: u16, body: &Value, decision_id: &str) -> Self {
        Self::own(status, "application/json", body, decision_id)
    }

    /// A fault whose detail the caller is told: only for one who was allowed to ask, and only where the detail says nothing
    /// but what is wrong with the caller's own request.
    pub fn explained(denial: &Denial, decision_id: &str) -> Self {
        let status = denial.reason.status();
        let body = json!({
            "type": "about:blank",
            "title": title(status),
            "status": status,
            "code": denial.reason.public(),
            "detail": denial.detail,
            "decision_id": decision_id,
        });
        Self::own(status, "application/problem+json", &body, decision_id)
    }

    fn own(status: u16, media_type: &str, body: &Value, decision_id: &str) -> Self {
        let headers = vec![field("content-type", media_type), field("cache-control", "no-store"), field(DECISION_ID, decision_id)];
        Self::with_body(status, headers, body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Reason;

    #[test]
    fn an_explained_fault_differs_from_a_plain_one_by_its_detail_only() {
        let denial = Denial::new(Reason::GateBodyInvalid, "the body has no `jti`");
        let (explained, plain) = (Answer::explained(&denial, "id"), Answer::fault(denial.reason, "id"));
        let mut body: Value = serde_json::from_slice(&explained.body).unwrap();
        assert_eq!(body.as_object_mut().unwrap().remove("detail"), Some("the body has no `jti`".into()));
        assert_eq!(body, serde_json::from_slice::<Value>(&plain.body).unwrap());
        assert_eq!(explained.status, plain.status);
        let names = |answer: &Answer| answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&explained), names(&plain));
    }
}

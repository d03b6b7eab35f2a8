//! A record as it is read back: every field may be missing and unknown ones are passed over, so that records of older and
//! of newer gates can be read. Documented in `docs/decision-log.md`.

use serde::{Deserialize, Deserializer};

/// One record, of any kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the record, which docs/decision-log.md describes one by one")]
pub struct Entry {
    pub v: u8,
    pub kind: Kind,
    pub time: String,
    pub decision_id: String,
    pub trace_id: String,
    pub span_id: Option<String>,
    pub region: String,
    pub build_digest: Option<String>,
    pub policy_digest: Option<String>,
    pub schema_digest: Option<String>,
    pub decision: String,
    pub mode: Option<String>,
    pub enforced: Option<bool>,
    pub reason: String,
    pub detail: String,
    pub status: u16,
    pub policies: Vec<PolicyEntry>,
    pub errors: Vec<String>,
    pub identity: Option<TokenEntry>,
    pub certificate: Option<CertificateEntry>,
    pub signed_url: Option<LinkEntry>,
    pub credentials: Vec<CredentialEntry>,
    pub cedar: Option<CedarEntry>,
    pub request: RequestEntry,
    pub inputs: Option<InputsEntry>,
    pub upstream: Option<UpstreamEntry>,
    pub change: Option<String>,
    pub signing: Vec<SigningEntry>,
    pub shadow: Option<ShadowEntry>,
    pub masked: Vec<String>,
    pub erased: Vec<String>,
    pub timing_us: TimingEntry,
    pub checkpoint: Option<CheckpointEntry>,
    pub dropped: Option<DroppedEntry>,
    pub chain: Option<ChainEntry>,
    pub mac: Option<String>,
}

impl Entry {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, with the column.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// Whether it is about a request, and not about the log itself.
    pub fn is_decision(&self) -> bool {
        self.kind == Kind::Decision
    }

    /// Whether it was denied and went on all the same, because the gate only observed.
    pub fn observed_denial(&self) -> bool {
        self.decision == "deny" && self.enforced == Some(false)
    }

    /// Whether it allowed.
    pub fn allowed(&self) -> bool {
        self.decision == "allow"
    }
}

/// What a record is about. Records without a `kind` are decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One request.
    #[default]
    Decision,
    /// What became of a request whose decision was recorded before it went on.
    Outcome,
    /// Where a chain stands.
    Checkpoint,
    /// Records that were not delivered.
    Dropped,
    /// One this reader does not know.
    Other(String),
}

impl Kind {
    /// As in records.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Decision => "decision",
            Self::Outcome => "outcome",
            Self::Checkpoint => "checkpoint",
            Self::Dropped => "dropped",
            Self::Other(name) => name,
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "decision" => Self::Decision,
            "outcome" => Self::Outcome,
            "checkpoint" => Self::Checkpoint,
            "dropped" => Self::Dropped,
            _ => Self::Other(name),
        })
    }
}

macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
        #[serde(default)]
        #[expect(missing_docs, reason = "the fields are those of the record")]
        pub struct $name { $(pub $field: $kind),* }
    )* };
}

entries! {
    /// A policy that determined an answer.
    PolicyEntry { id: String, reason: Option<String>, owner: Option<String>, control: Option<String> }
    /// The token that verified.
    TokenEntry {
        issuer: String, issuer_name: String, kind: String, principal: Option<String>, subject: Option<String>, kid: Option<String>, alg: String,
        token_id: Option<String>, groups: Vec<String>, roles: Vec<String>, scopes: Vec<String>, audience: Vec<String>,
        issued_at: Option<i64>, expires_at: i64, auth_time: Option<i64>, acr: Option<String>, amr: Vec<String>,
        client_id: Option<String>, email: Option<String>, session_id: Option<String>, bindings: Vec<String>,
    }
    /// The client certificate that verified.
    CertificateEntry {
        anchor: String, principal: Option<String>, subject: Option<String>, issuer: String, serial: String, spiffe_id: Option<String>,
        dns_names: Vec<String>, emails: Vec<String>, uris: Vec<String>, ip_addresses: Vec<String>,
        fingerprint: String, spki_fingerprint: String, not_before: i64, not_after: i64, names_principal: bool,
    }
    /// The signed URL that verified.
    LinkEntry {
        link_id: String, key_id: String, issuer: Option<String>, subject: Option<String>, issued_at: i64, expires_at: i64,
        prefix: bool, address_bound: bool, carrier: String, policy_digest: String,
    }
    /// What became of one credential.
    CredentialEntry { kind: String, fate: String, reason: Option<String>, detail: String }
    /// What Cedar was asked.
    CedarEntry { principal: Option<String>, action: String, resource: Option<String> }
    /// The request.
    RequestEntry { method: String, host: Option<String>, path: Option<String>, client: Option<String> }
    /// What else was decided on.
    InputsEntry { decided_at: i64, header_names: Vec<String>, https: bool, purpose: String, query: Vec<PairEntry>, headers: Vec<PairEntry> }
    /// A name and a value.
    PairEntry { name: String, value: Option<String> }
    /// What the origin did.
    UpstreamEntry { status: Option<u16>, error: Option<FaultEntry>, time_us: u64 }
    /// Why the origin was of no use.
    FaultEntry { reason: String, detail: String }
    /// One URL that was asked for.
    SigningEntry {
        decision: String, reason: String, detail: String, format: String, methods: Vec<String>, path: Option<String>, query: Vec<PairEntry>,
        prefix: bool, expires_in: i64, subject: Option<String>, address: Option<String>, link_id: Option<String>, key_id: Option<String>,
        expires_at: Option<i64>, cedar: Option<CedarEntry>, policies: Vec<PolicyEntry>,
    }
    /// What policies on trial would have decided.
    ShadowEntry { decision: String, reason: String, policies: Vec<PolicyEntry>, errors: Vec<String> }
    /// Microseconds.
    TimingEntry { identity: u64, policy: u64, total: u64 }
    /// Where a chain stands.
    CheckpointEntry { decisions: u64, record_us: u64, why: String }
    /// What was not delivered.
    DroppedEntry { count: u64, first_seq: u64, last_seq: u64, why: String }
    /// The place in the chain of an instance.
    ChainEntry { alg: Option<String>, instance: String, key_id: Option<String>, prev: Option<String>, seq: u64 }
}

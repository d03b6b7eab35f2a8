//! All credentials of one request together: read, verified, held against what the store says, and made one identity.
//!
//! Three steps, so that a shell can fetch between them what only it can fetch: [`Presented`] says whose keys are needed,
//! [`Verified`] says what has to be asked, [`Verified::settle`] takes the answers. All three are pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::authorization::{self, Scheme};
use super::dpop::{self, ProofUse};
use super::issuers::Issuer;
use super::jwt::Token;
use super::known::{KnownToken, KnownTokens, Learned, Lesson};
use super::mtls::{Arrival, Chain, KnownChain, Mtls};
use super::remote::Supply;
use super::revocation::{self, Lookup};
use super::status::StatusReference;
use super::{CertificateIdentity, Deployment, Identity, Issuers, SignatureBackend, TokenIdentity, binding};
use crate::bundle::{Digest, Gate};
use crate::decision::{Denial, Reason, UnixTime};
use crate::request::{Evidence, Facts};
use crate::signed_url::{PresentedLink, Verifier};

/// The kinds of credential a request can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// An access token in `Authorization`.
    Token,
    /// A DPoP proof.
    Proof,
    /// A client certificate.
    Certificate,
    /// A signed URL, in the query or in a cookie.
    SignedUrl,
}

impl CredentialKind {
    /// As in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Proof => "dpop_proof",
            Self::Certificate => "certificate",
            Self::SignedUrl => "signed_url",
        }
    }
}

/// What became of one credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It verified, and nothing the gate asked about it spoke against it.
    Verified,
    /// It was refused.
    Refused(Denial),
    /// It was not looked at, for this reason.
    Ignored(&'static str),
}

impl Fate {
    /// As records say it: the word, the reason of a refusal, and what exactly was wrong, or why it was not looked at.
    pub fn told(&self) -> (&'static str, Option<Reason>, &str) {
        match self {
            Self::Verified => ("verified", None, ""),
            Self::Refused(denial) => ("refused", Some(denial.reason), &denial.detail),
            Self::Ignored(why) => ("ignored", None, why),
        }
    }
}

/// One credential a request carried, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Which.
    pub kind: CredentialKind,
    /// What became of it.
    pub fate: Fate,
}

/// The credentials of a request, taken apart and not believed.
pub struct Presented<'a> {
    token: Option<Result<Sent<'a>, Denial>>,
    proof: Option<&'a [u8]>,
    link: Option<&'a PresentedLink>,
    cookies: &'a [PresentedLink],
    chains: Option<Recall<'a>>,
}

/// How a shell is asked for a chain of certificates that verified before.
pub type Recall<'a> = &'a dyn Fn(&Digest) -> Option<Arc<KnownChain>>;

/// What is to be remembered, if anything is.
type New<T> = Option<Lesson<T>>;

/// A token as it was sent.
struct Sent<'a> {
    scheme: Scheme,
    compact: &'a str,
    /// Its digest, where it is to be remembered.
    digest: Option<Digest>,
    form: Form<'a>,
}

/// What is known of a token so far.
enum Form<'a> {
    /// Nothing: it was taken apart.
    Parsed(Box<Token<'a>>),
    /// It verified before.
    Known(Arc<KnownToken>),
}

/// Whose keys a token needs beside the sealed ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNeed {
    /// The issuer's name in `keys/issuers.toml`.
    pub issuer: String,
    /// The `kid` of the token.
    pub kid: Option<String>,
}

impl<'a> Presented<'a> {
    /// Takes the credentials apart; what is malformed is kept as its denial.
    pub fn read(evidence: &'a Evidence) -> Self {
        Self::knowing(evidence, None)
    }

    /// The same, of a token that verified before only what can change since. One that did not is to be remembered when it does.
    pub fn knowing(evidence: &'a Evidence, known: Option<&KnownTokens>) -> Self {
        let Evidence { authorization, dpop, signed_url, signed_cookies } = evidence;
        let token = authorization.as_deref().map(|value| {
            let (scheme, compact) = authorization::read(value)?;
            let digest = known.map(|_| Digest::of(compact.as_bytes()));
            let form = match known.zip(digest.as_ref()).and_then(|(known, digest)| known.find(digest)) {
                Some(known) => Form::Known(known),
                None => Form::Parsed(Box::new(Token::parse(compact)?)),
            };
            Ok(Sent { scheme, compact, digest, form })
        });
        Self { token, proof: dpop.as_deref(), link: signed_url.as_ref(), cookies: signed_cookies, chains: None }
    }

    /// The same, with client certificates remembered too.
    pub fn recalling(self, chains: Recall<'a>) -> Self {
        Self { chains: Some(chains), ..self }
    }

    /// Whose certificates these are, and what to remember of them where they were verified anew.
    fn holder(&self, mtls: &Mtls, chain: &Chain, now: UnixTime) -> Result<(CertificateIdentity, New<KnownChain>), Denial> {
        let Some(recall) = self.chains else { return Ok((mtls.verify(chain, now)?, None)) };
        let digest = chain.digest();
        if let Some(known) = recall(&digest).filter(|known| known.counts(now)) {
            return Ok((known.identity.clone(), None));
        }
        let identity = mtls.verify(chain, now)?;
        let lesson = mtls.memory(chain, &identity, now).map(|known| Lesson { digest, what: Arc::new(known) });
        Ok((identity, lesson))
    }

    /// Whether signatures are to be verified that are not known to be good: of a token that is new here, or of a proof.
    pub fn is_new(&self) -> bool {
        let Self { token, proof, link: _, cookies: _, chains: _ } = self;
        let token = token.as_ref().is_some_and(|token| token.as_ref().is_ok_and(|sent| matches!(sent.form, Form::Parsed(_))));
        token || proof.is_some()
    }

    /// Whose fetched keys the token needs; `None` when a sealed key will do, or no issuer is known for it.
    pub fn key_need(&self, gate: &Gate) -> Option<KeyNeed> {
        match &self.token.as_ref()?.as_ref().ok()?.form {
            Form::Parsed(token) => gate.issuers().key_need(token),
            Form::Known(known) => known.need.clone(),
        }
    }
}

/// What the shell must ask before a verified identity counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// Entries of the revocation list, by their keys in the store.
    pub revocations: Vec<Lookup>,
    /// The status list a token names.
    pub status: Option<StatusReference>,
    /// The use of a DPoP proof, to be remembered and compared.
    pub proof: Option<ProofUse>,
}

impl Questions {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.revocations.is_empty() && self.status.is_none() && self.proof.is_none()
    }
}

/// What the shell found out.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// The revocation list.
    pub revocations: Revocations,
    /// The status of the token (0 is valid), or why it could not be told.
    pub status: Option<Result<u8, Denial>>,
    /// Whether this was the first use of the proof, or why that could not be told.
    pub first_use: Option<Result<bool, Denial>>,
}

/// What is known of the revocation list.
#[derive(Debug, Clone, Default)]
pub enum Revocations {
    /// The deployment has no store: nothing can be revoked.
    #[default]
    NoStore,
    /// The store was asked: nothing was ever revoked.
    Nothing,
    /// What the store holds under each key that was asked for; `None` for nothing.
    Known(BTreeMap<String, Option<Vec<u8>>>),
    /// The store could not be asked.
    Unavailable(String),
}

/// What verification found, before the answers.
#[derive(Debug)]
pub struct Verified {
    identity: Result<Identity, Denial>,
    credentials: Vec<Credential>,
    questions: Questions,
    learned: Learned,
}

/// Verifies what was presented. Every credential is looked at, so that the record can say what became of each; one that is
/// refused refuses the request.
pub fn verify(
    gate: &Gate,
    facts: &Facts,
    presented: &Presented<'_>,
    deployment: &Deployment,
    supply: Supply<'_>,
    now: UnixTime,
) -> Verified {
    let mut credentials = Vec::new();
    let mut first: Option<Denial> = None;
    let mut note = |kind, fate: Fate| {
        if let Fate::Refused(denial) = &fate {
            first.get_or_insert_with(|| denial.clone());
        }
        credentials.push(Credential { kind, fate });
    };

    let mut learned = Learned::default();
    let certificate = match super::mtls::arrival(gate.mtls(), facts, deployment) {
        Arrival::None => None,
        Arrival::Ignored(why) => {
            note(CredentialKind::Certificate, Fate::Ignored(why));
            None
        }
        Arrival::Refused(denial) => {
            note(CredentialKind::Certificate, Fate::Refused(denial));
            None
        }
        Arrival::Chain(mtls, chain) => match presented.holder(mtls, &chain, now) {
            Ok((certificate, new)) => {
                learned.chain = new;
                note(CredentialKind::Certificate, Fate::Verified);
                Some(certificate)
            }
            Err(denial) => {
                note(CredentialKind::Certificate, Fate::Refused(denial));
                None
            }
        },
    };

    let (mut verified_token, mut proof_use) = (None, None);
    match &presented.token {
        None => {}
        Some(Err(denial)) => note(CredentialKind::Token, Fate::Refused(denial.clone())),
        Some(Ok(sent)) => match sent.verify(gate.issuers(), supply, deployment.signatures, now) {
            Err(denial) => note(CredentialKind::Token, Fate::Refused(denial)),
            Ok((issuer, token, new)) => {
                let identity = Arc::clone(&token.identity);
                match binding::check(issuer, sent.scheme, &identity, certificate.as_ref(), presented.proof.is_some()) {
                    Err(denial) => note(CredentialKind::Token, Fate::Refused(denial)),
                    Ok(()) => {
                        note(CredentialKind::Token, Fate::Verified);
                        verified_token = Some((sent.compact, identity));
                        learned.token = new;
                    }
                }
            }
        },
    }
    if let Some(proof) = presented.proof {
        match &verified_token {
            Some((token, identity)) => match dpop::verify(gate.issuers().dpop(), proof, token, identity, facts, deployment, now) {
                Ok(used) => {
                    note(CredentialKind::Proof, Fate::Verified);
                    proof_use = Some(used);
                }
                Err(denial) => note(CredentialKind::Proof, Fate::Refused(denial)),
            },
            // A proof is about a token; without one that verified there is nothing it could prove.
            None if presented.token.is_some() => note(CredentialKind::Proof, Fate::Ignored("its token was refused")),
            None => {
                let denial = Denial::new(Reason::RequestCredentialsConflict, "a `DPoP` proof without a token");
                note(CredentialKind::Proof, Fate::Refused(denial));
            }
        }
    }

    let mut link = None;
    match links(presented) {
        Links::None => {}
        Links::Ignored(why) => note(CredentialKind::SignedUrl, Fate::Ignored(why)),
        Links::Refused(denial) => note(CredentialKind::SignedUrl, Fate::Refused(denial)),
        Links::One(one, ignored) => {
            // Without the file no link is ever split off; if one were, it would not count.
            let verified = match gate.signed_urls() {
                Some(config) => {
                    Verifier { keyring: &deployment.keyring, config, policy_digest: gate.policy_digest() }.verify(one, facts, now)
                }
                None => Err(Denial::new(Reason::SignedUrlKeyUnknown, "the gate has no signed URLs")),
            };
            match verified {
                Ok(identity) => {
                    note(CredentialKind::SignedUrl, Fate::Verified);
                    link = Some(Box::new(identity));
                }
                Err(denial) => note(CredentialKind::SignedUrl, Fate::Refused(denial)),
            }
            if let Some(why) = ignored {
                note(CredentialKind::SignedUrl, Fate::Ignored(why));
            }
        }
    }

    // Nothing of a refused request is remembered.
    let learned = if first.is_none() { learned } else { Learned::default() };
    let (identity, questions) = match first {
        // Nothing of a refused request is asked about, and its proof is not used up.
        Some(denial) => (Err(denial), Questions::default()),
        None => {
            let token = verified_token.map(|(_, identity)| identity);
            let revocations = revocation::lookups(token.as_deref(), certificate.as_ref());
            let status = token.as_ref().and_then(|token| token.status.clone());
            let by_certificate = gate.mtls().is_some_and(Mtls::names_principal);
            let identity = match link {
                Some(link) => Identity::SignedUrl { link, certificate: certificate.map(Box::new) },
                None => one(token, certificate, by_certificate),
            };
            (Ok(identity), Questions { revocations, status, proof: proof_use })
        }
    };
    Verified { identity, credentials, questions, learned }
}

impl Sent<'_> {
    /// The token verified, and what to remember of it where it was verified anew.
    fn verify<'g>(
        &self,
        issuers: &'g Issuers,
        supply: Supply<'_>,
        signatures: SignatureBackend,
        now: UnixTime,
    ) -> Result<(&'g Issuer, Arc<KnownToken>, New<KnownToken>), Denial> {
        let parsed;
        let token = match &self.form {
            Form::Parsed(token) => token,
            Form::Known(known) => match issuers.recall(known, supply, now)? {
                Some(issuer) => return Ok((issuer, Arc::clone(known), None)),
                // Its keys are not those it was verified with.
                None => {
                    parsed = Token::parse(self.compact)?;
                    &parsed
                }
            },
        };
        let (issuer, known) = issuers.verify(token, supply, signatures, now)?;
        let token = Arc::new(known);
        let learned = self.digest.map(|digest| Lesson { digest, what: Arc::clone(&token) });
        Ok((issuer, token, learned))
    }
}

/// Which link of a request counts.
enum Links<'a> {
    None,
    Ignored(&'static str),
    Refused(Denial),
    /// This one, and why another one was not looked at.
    One(&'a PresentedLink, Option<&'static str>),
}

/// A browser sends its cookies with everything, so a cookie gives way to what was sent on purpose: a link, or a token. A link
/// and a token were both sent on purpose, and nobody can say as whom.
fn links<'a>(presented: &Presented<'a>) -> Links<'a> {
    let Presented { token, proof: _, link, cookies, chains: _ } = presented;
    match (link, token, cookies) {
        (Some(_), Some(_), _) => Links::Refused(Denial::new(Reason::RequestCredentialsConflict, "a signed URL and an access token")),
        (Some(link), None, []) => Links::One(link, None),
        (Some(link), None, _) => Links::One(link, Some("the URL itself is signed")),
        (None, _, []) => Links::None,
        (None, Some(_), _) => Links::Ignored("an access token came with the cookie"),
        (None, None, [one]) => Links::One(one, None),
        (None, None, _) => Links::Refused(Denial::new(Reason::SignedUrlParameterRepeated, "more than one cookie with a signed URL")),
    }
}

/// Which of the two names the principal is configured in `keys/mtls.toml`.
fn one(token: Option<Arc<TokenIdentity>>, certificate: Option<CertificateIdentity>, by_certificate: bool) -> Identity {
    match (token, certificate.map(Box::new)) {
        (None, None) => Identity::Anonymous,
        (Some(token), Some(certificate)) if by_certificate => Identity::Certificate { certificate, token: Some(token) },
        (Some(token), certificate) => Identity::Token { token, certificate },
        (None, Some(certificate)) => Identity::Certificate { certificate, token: None },
    }
}

impl Verified {
    /// What has to be asked.
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// What to remember of this request, for the next one with the same token.
    pub fn learned(&mut self) -> Learned {
        std::mem::take(&mut self.learned)
    }

    /// The last step: the answers. What was asked and not answered denies.
    pub fn settle(self, answers: &Answers, now: UnixTime) -> (Result<Identity, Denial>, Vec<Credential>) {
        let Self { identity, mut credentials, questions, learned: _ } = self;
        let identity = identity.and_then(|identity| match objection(&questions, answers, now) {
            None => Ok(identity),
            Some((kind, denial)) => {
                for credential in credentials.iter_mut().filter(|credential| credential.kind == kind) {
                    credential.fate = Fate::Refused(denial.clone());
                }
                Err(denial)
            }
        });
        (identity, credentials)
    }
}

/// The first answer that speaks against a credential.
fn objection(questions: &Questions, answers: &Answers, now: UnixTime) -> Option<(CredentialKind, Denial)> {
    let Questions { revocations, status, proof } = questions;
    for lookup in revocations {
        if let Err(denial) = revocation::judge(lookup, &answers.revocations, now) {
            return Some((lookup.credential(), denial));
        }
    }
    if let Some(reference) = status {
        let unanswered = || Err(Denial::new(Reason::SystemStatusUnavailable, "the status list was not asked"));
        match answers.status.clone().unwrap_or_else(unanswered) {
            Ok(0) => {}
            Ok(status) => {
                let detail = format!("entry {} of the list has status {status}", reference.index);
                return Some((CredentialKind::Token, Denial::new(Reason::JwtStatusRevoked, detail)));
            }
            Err(denial) => return Some((CredentialKind::Token, denial)),
        }
    }
    if proof.is_some() {
        let unanswered = || Err(Denial::new(Reason::SystemStoreUnavailable, "the proof was not compared with those before"));
        match answers.first_use.clone().unwrap_or_else(unanswered) {
            Ok(true) => {}
            Ok(false) => return Some((CredentialKind::Proof, Reason::DpopReplay.into())),
            Err(denial) => return Some((CredentialKind::Proof, denial)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    /// What becomes of a token with a proof, of which this is asked.
    fn settled(questions: Questions, answers: &Answers) -> (Result<Identity, Reason>, Vec<bool>) {
        let credentials = [CredentialKind::Token, CredentialKind::Proof].map(|kind| Credential { kind, fate: Fate::Verified }).into();
        let (identity, credentials) =
            Verified { identity: Ok(Identity::Anonymous), credentials, questions, learned: Learned::default() }.settle(answers, NOW);
        (identity.map_err(|denial| denial.reason), credentials.iter().map(|credential| credential.fate == Fate::Verified).collect())
    }

    #[test]
    fn what_was_asked_and_not_answered_denies() {
        let unavailable = || Denial::from(Reason::SystemStoreUnavailable);
        let proof = || Questions { proof: Some(ProofUse { id: Digest::of(b"proof"), until: NOW }), ..Questions::default() };
        let used = |answer| settled(proof(), &Answers { first_use: answer, ..Answers::default() });
        assert_eq!(used(Some(Ok(true))), (Ok(Identity::Anonymous), vec![true, true]));
        assert_eq!(used(Some(Ok(false))), (Err(Reason::DpopReplay), vec![true, false]));
        assert_eq!(used(Some(Err(unavailable()))), (Err(Reason::SystemStoreUnavailable), vec![true, false]));
        assert_eq!(used(None), (Err(Reason::SystemStoreUnavailable), vec![true, false]));

        let reference = || StatusReference { issuer: "corp".to_owned(), uri: "https://id.example.com/list".to_owned(), index: 3 };
        let status = || Questions { status: Some(reference()), ..Questions::default() };
        let stands = |answer| settled(status(), &Answers { status: answer, ..Answers::default() });
        assert_eq!(stands(Some(Ok(0))), (Ok(Identity::Anonymous), vec![true, true]));
        for (answer, reason) in [
            (Some(Ok(1)), Reason::JwtStatusRevoked),
            (Some(Ok(2)), Reason::JwtStatusRevoked),
            (Some(Err(Denial::from(Reason::JwtStatusInvalid))), Reason::JwtStatusInvalid),
            (None, Reason::SystemStatusUnavailable),
        ] {
            assert_eq!(stands(answer), (Err(reason), vec![false, true]));
        }
    }
}

//! Every reason a request can end with: one table, from which the code, the documentation and the tests are made.

/// Builds [`Reason`] and its accessors from one table.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $public:literal, $operator:literal;)+) => {
        /// A stable reason code. Codes are never renamed; a retired one is never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* #[doc = concat!("`", $code, "`")] $name,)+ }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The dotted code written in records.
            pub const fn code(self) -> &'static str { match self { $(Reason::$name => $code,)+ } }

            /// The HTTP status of a denial for this reason, for a caller with an identity.
            pub const fn status(self) -> u16 { match self { $(Reason::$name => $status,)+ } }

            /// The code a caller sees. Failures of a credential all look alike from outside.
            pub const fn public(self) -> &'static str { match self { $(Reason::$name => $public,)+ } }

            /// What it means, for the operator who reads the record.
            pub const fn meaning(self) -> &'static str { match self { $(Reason::$name => $operator,)+ } }
        }
    };
}

reasons! {
    PolicyPermit = "policy.permit", 200, "permit", "at least one `permit` applied, no `forbid` did, and no policy failed to evaluate";
    GateHealth = "gate.health", 200, "health", "the gate answered its own health request";

    RequestMethodUnknown = "request.method_unknown", 405, "request.method_unknown", "the method is not one of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE";
    RequestHostMissing = "request.host_missing", 400, "request.host_missing", "the request names no host";
    RequestHostRepeated = "request.host_repeated", 400, "request.host_repeated", "more than one `Host` field";
    RequestHostInvalid = "request.host_invalid", 400, "request.host_invalid", "the host is not a name or address with an optional port";
    RequestHostAmbiguous = "request.host_ambiguous", 400, "request.host_ambiguous", "`Host` and the request target name different hosts";
    RequestAuthorizationRepeated = "request.authorization_repeated", 400, "request.authorization_repeated", "more than one `Authorization` field";
    RequestDpopRepeated = "request.dpop_repeated", 400, "request.dpop_repeated", "more than one `DPoP` field (RFC 9449, section 4.3)";
    RequestCertificateRepeated = "request.certificate_repeated", 400, "request.certificate_repeated", "the field that carries the client certificate occurs more than once";
    RequestCredentialsConflict = "request.credentials_conflict", 400, "request.credentials_conflict", "the credentials contradict each other: a `DPoP` proof beside a bearer token that is not bound to a key, or without any token";
    RequestContentLengthRepeated = "request.content_length_repeated", 400, "request.content_length_repeated", "more than one `Content-Length` field or value";
    RequestContentLengthInvalid = "request.content_length_invalid", 400, "request.content_length_invalid", "`Content-Length` is not a plain decimal number";
    RequestFramingAmbiguous = "request.framing_ambiguous", 400, "request.framing_ambiguous", "`Content-Length` together with `Transfer-Encoding`";
    RequestSpinHeaderRepeated = "request.spin_header_repeated", 400, "request.spin_header_repeated", "a `spin-*` field occurs twice: the caller sent one of the runtime's own";
    RequestClientAddressInvalid = "request.client_address_invalid", 400, "request.client_address_invalid", "the client's address cannot be told: too few or malformed `x-forwarded-for` entries for `trusted_hops`, or a malformed `spin-client-addr`";
    RequestHeadersTooMany = "request.headers_too_many", 431, "request.headers_too_many", "too many header fields";
    RequestHeadersTooLarge = "request.headers_too_large", 431, "request.headers_too_large", "a header field, or all of them together, are too large";
    RequestHeaderInvalid = "request.header_invalid", 400, "request.header_invalid", "a header field's name is not a token (RFC 9110, section 5.6.2), or its value has a control character";
    RequestPathTooLong = "request.path_too_long", 414, "request.path_too_long", "the path has too many bytes or segments";
    RequestQueryTooLong = "request.query_too_long", 414, "request.query_too_long", "the query has too many bytes or parameters";
    RequestPathNotAbsolute = "request.path_not_absolute", 400, "request.path_not_absolute", "the path does not start with exactly one `/`";
    RequestPathEmptySegment = "request.path_empty_segment", 400, "request.path_empty_segment", "a path segment is empty (`//`, or a `/` at the end)";
    RequestPathDotSegment = "request.path_dot_segment", 400, "request.path_dot_segment", "a path segment is `.` or `..`, plain or encoded";
    RequestPathBackslash = "request.path_backslash", 400, "request.path_backslash", "the path has a backslash";
    RequestPathParameter = "request.path_parameter", 400, "request.path_parameter", "a path segment has `;` parameters, plain or encoded";
    RequestPathCharacter = "request.path_character", 400, "request.path_character", "the path has a character RFC 3986 does not allow there";
    RequestPathEncodedSlash = "request.path_encoded_slash", 400, "request.path_encoded_slash", "the path has an encoded `/`";
    RequestPathEncodedBackslash = "request.path_encoded_backslash", 400, "request.path_encoded_backslash", "the path has an encoded `\\`";
    RequestPathEncodedPercent = "request.path_encoded_percent", 400, "request.path_encoded_percent", "the path has an encoded `%`, which a second decoding would turn into something else";
    RequestPathEncodedControl = "request.path_encoded_control", 400, "request.path_encoded_control", "the path has an encoded NUL or control character";
    RequestPathEncodedDelimiter = "request.path_encoded_delimiter", 400, "request.path_encoded_delimiter", "the path has an encoded `?` or `#`";
    RequestPathPercentEncoding = "request.path_percent_encoding", 400, "request.path_percent_encoding", "`%` in the path is not followed by two hexadecimal digits";
    RequestPathUtf8 = "request.path_utf8", 400, "request.path_utf8", "the decoded path is not UTF-8";
    RequestQueryInvalid = "request.query_invalid", 400, "request.query_invalid", "the query has invalid percent-encoding, invalid UTF-8 or a character RFC 3986 does not allow there";

    AuthSchemeUnsupported = "auth.scheme_unsupported", 401, "invalid_token", "the `Authorization` scheme is not one this gate accepts";
    AuthMalformed = "auth.malformed", 401, "invalid_token", "`Authorization` is not one scheme, one space and one token";
    JwtTooLarge = "jwt.too_large", 401, "invalid_token", "the token, or its header, is too large";
    JwtMalformed = "jwt.malformed", 401, "invalid_token", "the token is not three base64url parts (RFC 7515, section 7.1), or a part is not canonical base64url";
    JwtEncrypted = "jwt.encrypted", 401, "invalid_token", "the token is a JWE";
    JwtUnsecured = "jwt.unsecured", 401, "invalid_token", "the token has `alg` `none` or an empty signature";
    JwtDetached = "jwt.detached", 401, "invalid_token", "the token has an empty or detached payload";
    JwtNested = "jwt.nested", 401, "invalid_token", "the token holds another token (`cty`)";
    JwtHeaderInvalid = "jwt.header_invalid", 401, "invalid_token", "the JOSE header is not a JSON object with the members it must have";
    JwtClaimsInvalid = "jwt.claims_invalid", 401, "invalid_token", "the claims are not a JSON object";
    JwtDuplicateMember = "jwt.duplicate_member", 401, "invalid_token", "a JSON member occurs twice";
    JwtTooDeep = "jwt.too_deep", 401, "invalid_token", "the JSON is nested too deeply";
    JwtCritical = "jwt.critical", 401, "invalid_token", "the header has `crit`: it asks for an extension this gate does not know";
    JwtAlgorithmUnsupported = "jwt.algorithm_unsupported", 401, "invalid_token", "the algorithm is not one this gate knows";
    JwtAlgorithmNotAllowed = "jwt.algorithm_not_allowed", 401, "invalid_token", "the issuer's configuration does not allow the algorithm";
    JwtTypeNotAllowed = "jwt.type_not_allowed", 401, "invalid_token", "the issuer's configuration does not allow the token's `typ`";
    JwtIssuerMissing = "jwt.issuer_missing", 401, "invalid_token", "no `iss`, or not a string";
    JwtIssuerUnknown = "jwt.issuer_unknown", 401, "invalid_token", "no configured issuer has exactly this `iss`";
    JwtKeyUnknown = "jwt.key_unknown", 401, "invalid_token", "the issuer has no key with this `kid` that may verify this algorithm";
    JwtKeyAmbiguous = "jwt.key_ambiguous", 401, "invalid_token", "the token has no `kid` and more than one key could verify it";
    JwtAlgorithmMismatch = "jwt.algorithm_mismatch", 401, "invalid_token", "the algorithm is not the one of the key that `kid` names";
    JwtSignatureInvalid = "jwt.signature_invalid", 401, "invalid_token", "the signature does not verify";
    JwtExpiryMissing = "jwt.expiry_missing", 401, "invalid_token", "no `exp`";
    JwtExpired = "jwt.expired", 401, "invalid_token", "`exp` has passed";
    JwtNotYetValid = "jwt.not_yet_valid", 401, "invalid_token", "`nbf` has not come yet";
    JwtIssuedInFuture = "jwt.issued_in_future", 401, "invalid_token", "`iat` lies in the future";
    JwtTooOld = "jwt.too_old", 401, "invalid_token", "the token is older than the issuer's maximum age, or has no `iat` to tell its age";
    JwtTimeInvalid = "jwt.time_invalid", 401, "invalid_token", "`exp`, `nbf` or `iat` is not a number, or out of range";
    JwtAudience = "jwt.audience", 401, "invalid_token", "`aud` is missing, malformed, or names none of the configured audiences";
    JwtSubjectMissing = "jwt.subject_missing", 401, "invalid_token", "the claim that names the subject is missing, empty, too long or not a string";
    JwtClaimInvalid = "jwt.claim_invalid", 401, "invalid_token", "a claim the issuer's mapping reads has the wrong type";
    JwtTooManyGroups = "jwt.too_many_groups", 401, "invalid_token", "the token has more groups, roles, scopes or audiences than the gate takes";
    JwtConfirmationInvalid = "jwt.confirmation_invalid", 401, "invalid_token", "`cnf` is malformed, or holds no confirmation method this gate knows (RFC 7800, section 3.1)";
    JwtBindingMissing = "jwt.binding_missing", 401, "invalid_token", "the issuer's configuration asks for tokens bound to a certificate or a key, and the token is not";
    JwtCertificateMissing = "jwt.certificate_missing", 401, "invalid_token", "the token is bound to a client certificate (RFC 8705, section 3) and the request has none";
    JwtCertificateMismatch = "jwt.certificate_mismatch", 401, "invalid_token", "the token is bound to another client certificate";
    JwtRevoked = "jwt.revoked", 401, "invalid_token", "the token, its session, its subject or its issuer was revoked";
    JwtStatusInvalid = "jwt.status_invalid", 401, "invalid_token", "the `status` claim is malformed, missing where the issuer requires it, or names a list the issuer's configuration does not allow or a place the list does not have";
    JwtStatusRevoked = "jwt.status_revoked", 401, "invalid_token", "the token's status list says that it is invalid or suspended";

    DpopProofMissing = "dpop.proof_missing", 401, "invalid_dpop_proof", "`Authorization: DPoP` without a `DPoP` proof";
    DpopBearer = "dpop.bearer", 401, "invalid_token", "a token that is bound to a key came as `Bearer` (RFC 9449, section 7.2)";
    DpopNotBound = "dpop.not_bound", 401, "invalid_token", "`Authorization: DPoP` with a token that is not bound to a key (`cnf.jkt`)";
    DpopMalformed = "dpop.malformed", 401, "invalid_dpop_proof", "the proof is not a JWT this gate can read, or is too large";
    DpopType = "dpop.type", 401, "invalid_dpop_proof", "`typ` of the proof is not `dpop+jwt`";
    DpopAlgorithm = "dpop.algorithm", 401, "invalid_dpop_proof", "the proof's algorithm is not one this gate allows for proofs";
    DpopKeyInvalid = "dpop.key_invalid", 401, "invalid_dpop_proof", "`jwk` of the proof is missing, private, weak or not for its algorithm";
    DpopSignatureInvalid = "dpop.signature_invalid", 401, "invalid_dpop_proof", "the proof's signature does not verify";
    DpopClaimsInvalid = "dpop.claims_invalid", 401, "invalid_dpop_proof", "`jti`, `htm`, `htu`, `iat`, `ath` or `nonce` of the proof is missing or malformed";
    DpopMethodMismatch = "dpop.method_mismatch", 401, "invalid_dpop_proof", "the proof was made for another method (`htm`)";
    DpopUrlMismatch = "dpop.url_mismatch", 401, "invalid_dpop_proof", "the proof was made for another URL (`htu`)";
    DpopExpired = "dpop.expired", 401, "invalid_dpop_proof", "the proof is too old (`iat`)";
    DpopIssuedInFuture = "dpop.issued_in_future", 401, "invalid_dpop_proof", "`iat` of the proof lies in the future";
    DpopTokenMismatch = "dpop.token_mismatch", 401, "invalid_dpop_proof", "the proof was made for another token (`ath`)";
    DpopKeyMismatch = "dpop.key_mismatch", 401, "invalid_token", "the proof was made with another key than the one the token is bound to (`cnf.jkt`)";
    DpopNonceRequired = "dpop.nonce_required", 401, "use_dpop_nonce", "the proof has no `nonce`, and one is asked for";
    DpopNonceInvalid = "dpop.nonce_invalid", 401, "use_dpop_nonce", "the proof's `nonce` is not one this gate gave, or is too old";
    DpopReplay = "dpop.replay", 401, "invalid_dpop_proof", "the proof was used before";

    MtlsUntrustedTerminator = "mtls.untrusted_terminator", 401, "invalid_certificate", "a client certificate came from someone who did not prove to be the TLS terminator";
    MtlsMalformed = "mtls.malformed", 401, "invalid_certificate", "the field with the client certificate is not in the configured form";
    MtlsTooLarge = "mtls.too_large", 401, "invalid_certificate", "the certificate or its chain has too many bytes or certificates";
    MtlsCertificateInvalid = "mtls.certificate_invalid", 401, "invalid_certificate", "a certificate is not valid DER, or not a certificate this gate can read";
    MtlsChain = "mtls.chain", 401, "invalid_certificate", "no valid path leads from the certificate to a trust anchor, or a signature on the way does not verify";
    MtlsExpired = "mtls.expired", 401, "invalid_certificate", "the certificate, or one on the way to the trust anchor, has expired";
    MtlsNotYetValid = "mtls.not_yet_valid", 401, "invalid_certificate", "the certificate, or one on the way to the trust anchor, is not valid yet";
    MtlsRevoked = "mtls.revoked", 401, "invalid_certificate", "the certificate, or one on the way to the trust anchor, was revoked, by a CRL or by the gate's own list";
    MtlsCrlExpired = "mtls.crl_expired", 401, "invalid_certificate", "the CRL that speaks for the certificate is past its next update";
    MtlsCrlMissing = "mtls.crl_missing", 401, "invalid_certificate", "no CRL speaks for the certificate, and the configuration asks for one";
    MtlsUsage = "mtls.usage", 401, "invalid_certificate", "the certificate is not for client authentication, or one on the way may not issue certificates (basic constraints, key usage, extended key usage)";
    MtlsConstraint = "mtls.constraint", 401, "invalid_certificate", "a name constraint or the path length of an issuer forbids the certificate";
    MtlsAlgorithm = "mtls.algorithm", 401, "invalid_certificate", "a signature on the way uses an algorithm this gate does not accept";
    MtlsKeyWeak = "mtls.key_weak", 401, "invalid_certificate", "the certificate's key is not RSA of 2048 bits or more, P-256, P-384 or Ed25519";
    MtlsTooComplex = "mtls.too_complex", 401, "invalid_certificate", "finding a path would take more work than the gate gives a request";
    MtlsSpiffe = "mtls.spiffe", 401, "invalid_certificate", "the certificate has a SPIFFE id that breaks the X509-SVID rules, or a trust domain its anchor may not speak for";
    MtlsNameMissing = "mtls.name_missing", 401, "invalid_certificate", "the certificate has none of the configured kinds of name";

    SignedUrlMalformed = "signed_url.malformed", 401, "invalid_signed_url", "the parameters of the signed URL are out of order, encoded in another way than the gate does, or followed by others";
    SignedUrlParameterMissing = "signed_url.parameter_missing", 401, "invalid_signed_url", "the signed URL lacks a parameter";
    SignedUrlParameterRepeated = "signed_url.parameter_repeated", 401, "invalid_signed_url", "a parameter of the signed URL occurs twice, or two cookies carry one";
    SignedUrlParameterUnknown = "signed_url.parameter_unknown", 401, "invalid_signed_url", "the request has a `cg-` parameter that is not one of a signed URL";
    SignedUrlVersion = "signed_url.version", 401, "invalid_signed_url", "the signed URL is of a version this gate does not know";
    SignedUrlKeyUnknown = "signed_url.key_unknown", 401, "invalid_signed_url", "the deployment has no key with the id the signed URL names";
    SignedUrlKeyRetired = "signed_url.key_retired", 401, "invalid_signed_url", "the key that signed the URL is retired";
    SignedUrlSignature = "signed_url.signature_invalid", 401, "invalid_signed_url", "the signature is not one of this host, path, query and parameters";
    SignedUrlExpired = "signed_url.expired", 401, "invalid_signed_url", "the signed URL has ended";
    SignedUrlNotYetValid = "signed_url.not_yet_valid", 401, "invalid_signed_url", "the signed URL does not count yet";
    SignedUrlMethod = "signed_url.method", 401, "invalid_signed_url", "the signed URL is for another method";
    SignedUrlAddress = "signed_url.address", 401, "invalid_signed_url", "the signed URL is bound to other addresses than the client's";
    SignedUrlPolicy = "signed_url.policy_changed", 401, "invalid_signed_url", "the signed URL was made under other policies, and `pin_policy` is on";

    PolicyForbid = "policy.forbid", 403, "forbidden", "a `forbid` applied";
    PolicyNoPermit = "policy.no_permit", 403, "forbidden", "no `permit` applied";
    PolicyInsufficientScope = "policy.insufficient_scope", 403, "insufficient_scope", "no `permit` applied, and the token lacks a scope the route names";
    PolicyStepUp = "policy.step_up", 401, "insufficient_user_authentication", "only `forbid` policies applied that ask for a stronger or a more recent login (RFC 9470)";
    PolicyError = "policy.error", 403, "forbidden", "a policy failed to evaluate, or the Cedar request could not be built; everything is denied then";

    GateNotFound = "gate.not_found", 404, "not_found", "a path below `/.well-known/cedargate/` that the gate does not serve; never forwarded";
    GateMethodNotAllowed = "gate.method_not_allowed", 405, "method_not_allowed", "a method the gate's own endpoint does not take";
    GateMetadata = "gate.metadata", 200, "metadata", "the gate answered with its protected-resource metadata (RFC 9728)";
    GateBodyInvalid = "gate.body_invalid", 400, "gate.body_invalid", "the body of a request to the gate's own endpoint is not what it takes";
    GateBodyTooLarge = "gate.body_too_large", 413, "gate.body_too_large", "the body of a request to the gate's own endpoint is too large";

    SignLifetime = "sign.lifetime", 400, "sign.lifetime", "the URL would last longer than its route or the configuration allows";
    SignFormat = "sign.format", 400, "sign.format", "the kind of URL is not available for this path, or cannot say what was asked for";

    GateLengthRequired = "gate.length_required", 411, "length_required", "a GET, HEAD, OPTIONS or DELETE request has a long body and does not say how long; the decision was to allow it";

    SystemUnsealed = "system.unsealed", 503, "unavailable", "the component was never sealed: it has no policies";
    SystemClock = "system.clock", 503, "unavailable", "the clock is unusable";
    SystemConfiguration = "system.configuration", 503, "unavailable", "a variable is missing or invalid";
    SystemKeysStale = "system.keys_stale", 503, "unavailable", "the issuer's keys could not be fetched, and the last ones are too old to be used";
    SystemStoreUnavailable = "system.store_unavailable", 503, "unavailable", "the key-value store could not be asked, or none is configured for what needs one";
    SystemStatusUnavailable = "system.status_unavailable", 503, "unavailable", "the token's status list could not be fetched, or did not verify";
    SystemAuditUnavailable = "system.audit_unavailable", 503, "unavailable", "the request was allowed and could not be recorded; with `audit_mode = before` it was not forwarded, otherwise the origin's answer was kept back";
    SystemOriginUnreachable = "system.origin_unreachable", 502, "origin_unreachable", "the request was allowed, the origin could not be reached";
    SystemOriginTimeout = "system.origin_timeout", 504, "origin_timeout", "the request was allowed, the origin did not answer in time";
    SystemOriginInvalid = "system.origin_invalid", 502, "origin_invalid", "the request was allowed, the origin's answer was not usable HTTP";
    SystemInternal = "system.internal", 500, "internal", "the gate failed; nothing was forwarded";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for code in codes {
            assert!(
                code.split('.').count() == 2 && code.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '.' || c.is_ascii_digit()),
                "{code}"
            );
        }
    }

    #[test]
    fn a_refused_credential_never_says_why() {
        for reason in Reason::ALL.iter().filter(|r| r.code().starts_with("jwt.") || r.code().starts_with("auth.")) {
            assert_eq!((reason.status(), reason.public()), (401, "invalid_token"), "{}", reason.code());
        }
    }
}

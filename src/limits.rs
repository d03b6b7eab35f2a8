//! Every bound on what a caller or a bundle can make the gate do, with the reason for each number.
//!
//! One file, so that a reviewer reads all of them together. Bytes are bytes, counts are counts; nothing is per second.

/// Longest path in bytes as received. Longer than any sensible API path; short enough that canonicalising it costs microseconds.
pub const PATH_BYTES: usize = 4096;
/// Most segments in a path: each becomes a Cedar entity, so this bounds the work of one decision.
pub const PATH_SEGMENTS: usize = 64;
/// Longest query in bytes as received.
pub const QUERY_BYTES: usize = 8192;
/// Most query parameters: each becomes a record in the Cedar context.
pub const QUERY_PARAMETERS: usize = 128;
/// Most header fields in a request, counted as they arrive, those appended by the runtime included.
pub const HEADER_COUNT: usize = 128;
/// Longest single header value in bytes. A bearer token of `TOKEN_BYTES` and its scheme must fit.
pub const HEADER_VALUE_BYTES: usize = 16 * 1024 + 64;
/// All header names and values together, in bytes.
pub const HEADERS_BYTES: usize = 64 * 1024;
/// Longest host in bytes (RFC 1035: 253), plus brackets and port.
pub const HOST_BYTES: usize = 262;
/// Most bytes of a body of unsaid length that are held back to learn it, for methods that usually have none. Bounds the
/// memory of one request; everything else streams.
pub const UNSIZED_BODY_BYTES: usize = 64 * 1024;
/// Bytes of a request's body that pass through the instance at once.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Highest number of trusted proxies that may be configured in front of the gate.
pub const TRUSTED_HOPS: usize = 16;
/// Most members of a `tracestate` that is passed on (W3C Trace Context, section 3.3.1.1).
pub const TRACE_STATE_MEMBERS: usize = 32;

/// Longest compact token in bytes. Identity providers with many groups produce 4-8 KiB.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Longest JOSE header in bytes after base64url decoding.
pub const TOKEN_HEADER_BYTES: usize = 4 * 1024;
/// Deepest nesting of JSON in a token. Cedar's own recursion guard does nothing in wasm, so depth is bounded before anything recurses.
pub const JSON_DEPTH: usize = 16;
/// Most groups, and separately most roles and most scopes, of one identity. Each group and role is a Cedar parent.
pub const GROUPS: usize = 256;
/// Longest group, role or scope in bytes.
pub const GROUP_BYTES: usize = 256;
/// Longest subject in bytes (OpenID Connect: 255 ASCII characters).
pub const SUBJECT_BYTES: usize = 255;
/// Longest `kid` in bytes, in a key set and in a token. Providers use hashes, UUIDs and short names.
pub const KEY_ID_BYTES: usize = 256;
/// Longest `jti`, `acr`, `client_id` in bytes.
pub const SHORT_CLAIM_BYTES: usize = 255;
/// Longest `email` in bytes (RFC 5321: 64 + 1 + 255).
pub const EMAIL_BYTES: usize = 320;
/// Most audiences in one token.
pub const AUDIENCES: usize = 32;
/// Largest leeway an issuer may be given, in seconds.
pub const LEEWAY_SECONDS: u64 = 60;

/// Most verified tokens an instance remembers. A thousand callers come to one instance between two of their tokens at most.
pub const KNOWN_TOKENS: usize = 1024;
/// All of them together, in bytes: an eighth of what an instance may have, and 2 KiB for each. What identity providers put into a
/// token takes half of that.
pub const KNOWN_TOKEN_BYTES: usize = 2 * 1024 * 1024;
/// Most verified chains of client certificates an instance remembers, and all of them together in bytes: workloads are fewer than people.
pub const KNOWN_CHAINS: usize = 256;
/// See [`KNOWN_CHAINS`].
pub const KNOWN_CHAIN_BYTES: usize = 512 * 1024;

/// Longest DPoP proof in bytes: a header with the largest RSA key, and its signature, fit.
pub const PROOF_BYTES: usize = 8 * 1024;
/// Oldest DPoP proof a configuration may take, in seconds: for that long each one has to be remembered.
pub const PROOF_AGE_SECONDS: i64 = 300;
/// Longest time a DPoP nonce may count, in seconds.
pub const NONCE_LIFETIME_SECONDS: i64 = 3600;
/// Most used DPoP proofs an instance remembers, about a megabyte; the store remembers for all.
pub const USED_PROOFS: usize = 8192;
/// Most used DPoP proofs in one of the 256 shards of the store: 24 KiB, read and written once for each proof. Together
/// 262,144, which with the defaults is 2,000 a second.
pub const USED_PROOFS_PER_SHARD: usize = 1024;
/// How far the clocks of two instances may be apart, in seconds: for that much longer used proofs are remembered.
pub const CLOCK_DIFFERENCE_SECONDS: i64 = 60;

/// Most issuers in a bundle.
pub const ISSUERS: usize = 64;
/// Longest issuer name, so that a default prefix stays short.
pub const ISSUER_NAME_BYTES: usize = 32;
/// Longest prefix, `iss`, audience or mapping value in bytes.
pub const ISSUER_VALUE_BYTES: usize = 512;
/// Most keys in one key set.
pub const KEYS_PER_ISSUER: usize = 64;
/// Largest key set that is fetched, in bytes. A set of `KEYS_PER_ISSUER` RSA keys with certificates (`x5c`) is near it; what a
/// provider publishes has a tenth.
pub const KEY_SET_BYTES: usize = 256 * 1024;
/// Largest metadata document that is fetched, in bytes. Those of large providers have 2 to 8 KiB.
pub const METADATA_BYTES: usize = 64 * 1024;
/// Longest a fetch may take from the first byte sent to the last one read, metadata included, in milliseconds: a caller who
/// has to wait for keys waits no longer.
pub const KEY_FETCH_MS: u64 = 5_000;
/// How long a fetched set may count as fresh, in seconds, whatever its issuer or the configuration says. A minute keeps an
/// issuer that forbids caching from being asked by every request; a day bounds how long a key that was withdrawn counts.
pub const KEYS_FRESH_SECONDS: std::ops::RangeInclusive<i64> = 60..=86_400;
/// What `refetch_interval_seconds` may be.
pub const REFETCH_INTERVAL_SECONDS: std::ops::RangeInclusive<i64> = 1..=3_600;
/// What `stale_if_error_seconds` may be: at most a week without a word from the issuer.
pub const STALE_IF_ERROR_SECONDS: std::ops::RangeInclusive<i64> = 60..=604_800;
/// How long an unknown `kid` is remembered as unknown, in seconds: until then nobody asks its issuer for it again.
pub const UNKNOWN_KEY_SECONDS: i64 = 600;
/// Most unknown `kid`s remembered for one issuer. Whoever makes up more causes one fetch per interval at the most.
pub const UNKNOWN_KEYS: usize = 64;
/// How far the clocks of two instances that share a store may differ, in seconds, before what one wrote is not believed.
pub const CLOCK_SKEW_SECONDS: i64 = 60;
/// Most bytes that prepared keys take which are sealed: 64 for ES256, or thousands for RS256. Further ones are verified with as
/// they are. An eighth of what an instance may take, and each byte of it is also in the sealed component.
pub const PREPARED_SEALED_BYTES: usize = 2 * 1024 * 1024;
/// Most fetched keys that an instance prepares: half a mebibyte where all are for ES256.
pub const PREPARED_FETCHED: usize = 16;
/// How many tokens a fetched key verifies before it is prepared: about as many as preparing costs.
pub const PREPARED_AFTER: usize = 8;
/// Smallest and largest RSA modulus in bits.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Longest certificate in DER, in bytes. With an RSA key of 8192 bits and dozens of names one has 4 KiB.
pub const CERTIFICATE_BYTES: usize = 8 * 1024;
/// Most certificates of a chain, the client's and a trust anchor that is sent along included. Those that carry one name can
/// be put in any order, and finding a path tries them: six bound that to a few hundred steps.
pub const CHAIN_CERTIFICATES: usize = 6;
/// All certificates of a chain together, in bytes.
pub const CHAIN_BYTES: usize = 24 * 1024;
/// Most subject alternative names of a client certificate. Each becomes a value in the Cedar context.
pub const CERTIFICATE_NAMES: usize = 64;
/// Longest name a certificate may give its holder, in bytes (the SPIFFE id standard, section 2.3: 2048).
pub const CERTIFICATE_NAME_BYTES: usize = 2048;
/// Longest serial number of a certificate, in bytes: RFC 5280, section 4.1.2.2, allows 20, to which some add a zero for the sign.
pub const SERIAL_BYTES: usize = 21;
/// Most `[[anchor]]`, most certificates in all of them, and most trust domains or CRLs of one.
pub const TRUST_ANCHORS: usize = 64;
/// Largest CRL in bytes. Its signature is verified with each request it speaks for.
pub const CRL_BYTES: usize = 1024 * 1024;
/// Most addresses of terminators.
pub const TERMINATOR_ADDRESSES: usize = 64;

/// Most routes: those of one length are tried one after the other.
pub const ROUTES: usize = 1024;
/// Most headers policies may read.
pub const CONTEXT_HEADERS: usize = 32;
/// Longest `@id` in bytes: it is written into every record.
pub const POLICY_ID_BYTES: usize = 128;
/// Most entities one decision may bring in from `entities.json`, and so most that one of them may name: it bounds the
/// work of a decision.
pub const REACHED_ENTITIES: usize = 4096;
/// Deepest nesting in `entities.json`. Cedar converts it recursively, and in wasm its own guard does nothing.
pub const ENTITIES_DEPTH: usize = 24;

/// Longest time an answer of the revocation list may be believed, in milliseconds: a minute is how long a caller who was
/// cut off may go on at the most.
pub const REVOCATION_CACHE_MS: u64 = 60_000;
/// Most entries of the revocation list an instance remembers, those that are not there included: what four to five lookups
/// of each of some hundred callers within the cache time leave behind.
pub const REVOCATIONS_CACHED: usize = 2048;
/// Largest entry of the revocation list, in bytes. The gate's own are far smaller.
pub const REVOCATION_ENTRY_BYTES: usize = 16 * 1024;
/// Longest reason given for a revocation, in bytes: a sentence, not a report.
pub const REVOCATION_REASON_BYTES: usize = 512;
/// How long an entry is kept after what it revokes has expired, in seconds: longer than any gate's clock is behind.
pub const REVOCATION_KEPT_SECONDS: i64 = 86_400;
/// Largest body the gate's own endpoints take, in bytes.
pub const OWN_BODY_BYTES: usize = 16 * 1024;

/// Longest status list token in bytes: a list of a million entries of one bit that cannot be compressed fits.
pub const STATUS_TOKEN_BYTES: usize = 256 * 1024;
/// Largest status list in bytes once unpacked: a million entries of 8 bits.
pub const STATUS_LIST_BYTES: usize = 1024 * 1024;
/// Most addresses in `status_lists` of one issuer.
pub const STATUS_LISTS_CONFIGURED: usize = 16;
/// Most status lists an instance keeps, and the most bytes of them together: bounds its memory.
pub const STATUS_LISTS_KEPT: usize = 64;
/// See [`STATUS_LISTS_KEPT`].
pub const STATUS_LISTS_KEPT_BYTES: usize = 8 * 1024 * 1024;
/// How long a status list is used at least and at most, in seconds, whatever its `ttl`: not fetched more than once a second,
/// and an hour is how late a revocation may come into force.
pub const STATUS_TTL_SECONDS: std::ops::RangeInclusive<i64> = 1..=3600;
/// How long a status list without `ttl` is used, in seconds.
pub const STATUS_TTL_DEFAULT_SECONDS: i64 = 300;
/// How long a status list may take to come, in milliseconds: callers wait for it.
pub const STATUS_TIMEOUT_MS: u64 = 3000;

/// Longest a request waits for what the store says of a revocation, and again of a proof, in milliseconds. A store that takes
/// longer is as good as one that cannot be asked, and no caller waits for ever.
pub const STORE_ANSWER_MS: u64 = 5_000;
/// How often a change of a key in the store is tried again because others change it too.
pub const STORE_TRIES: usize = 64;

/// Longest a signed URL may count, in seconds: seven days, which is also the longest of AWS (SigV4 query authentication).
pub const LINK_SECONDS: i64 = 604_800;
/// Most keys in a keyring: one that signs, and those whose links still run.
pub const LINK_KEYS: usize = 16;
/// Longest id of a key in a keyring, in bytes: it stands in every link.
pub const LINK_KEY_ID_BYTES: usize = 32;
/// Longest name in a link, in bytes: a Cedar principal of the longest prefix and subject fits.
pub const LINK_NAME_BYTES: usize = 1024;
/// Longest parameters of a link, in bytes: less than what browsers keep in one cookie (4,096 bytes, RFC 6265, section 6.1).
pub const LINK_BYTES: usize = 3840;
/// Most links one request may ask for.
pub const LINK_ITEMS: usize = 100;
/// Largest body of a request for links, in bytes: a hundred items with long paths and queries fit.
pub const LINK_BODY_BYTES: usize = 256 * 1024;
/// Most targets in `signed-urls.toml`, and most credentials in `signed_url_credentials`.
pub const LINK_TARGETS: usize = 64;
/// Longest part of a credential for other services, in bytes: an RSA key of 4096 bits in PEM has 3.3 KiB.
pub const LINK_CREDENTIAL_BYTES: usize = 8 * 1024;
/// The last second that RFC 3339 can write (year 9999).
pub const LATEST_SECONDS: i64 = 253_402_300_799;

/// Longest string copied into a record, in bytes; longer ones are cut and marked.
pub const RECORD_STRING_BYTES: usize = 1024;
/// Most regions of `[residency]`.
pub const RESIDENCY_REGIONS: usize = 64;
/// Most records of one instance that wait for their sink, and the most bytes of them together: a few hundred requests a second
/// for as long as a sink takes to start again, in a fiftieth of an instance's memory.
pub const SINK_QUEUE_RECORDS: usize = 1024;
/// See [`SINK_QUEUE_RECORDS`].
pub const SINK_QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// Most records of one request to a sink, and the most bytes of them: each sink takes several times that (Datadog: 1,000
/// entries and 5 MB), and packing it takes milliseconds.
pub const SINK_BATCH_RECORDS: usize = 256;
/// See [`SINK_BATCH_RECORDS`].
pub const SINK_BATCH_BYTES: usize = 512 * 1024;
/// Bytes from which a request to a sink is packed: less fits one network packet as it is.
pub const SINK_GZIP_BYTES: usize = 1024;
/// More than a record takes that tells what was lost, in bytes.
pub const SINK_OWN_BYTES: usize = 1024;
/// Most pieces of a chain that are kept as lost before they are told; more are told as one.
pub const SINK_LOSSES: usize = 16;
/// Longest a sink may take for one request, in milliseconds.
pub const SINK_SEND_MS: u64 = 10_000;
/// Most bytes that are read of a sink's answer: it is only looked at for how many records it refused.
pub const SINK_ANSWER_BYTES: usize = 64 * 1024;
/// The first wait after a try that failed, and the longest one, in milliseconds; each is twice the one before.
pub const SINK_RETRY_FIRST_MS: u64 = 100;
/// See [`SINK_RETRY_FIRST_MS`].
pub const SINK_RETRY_LONGEST_MS: u64 = 8_000;
/// Longest wait that a sink may ask for, in milliseconds.
pub const SINK_RETRY_AFTER_MS: u64 = 30_000;
/// Most tries of one batch, and the longest they may take together, in milliseconds: longer than a sink takes to start again,
/// and it bounds how long an instance goes on that would otherwise end.
pub const SINK_TRIES: u32 = 12;
/// See [`SINK_TRIES`].
pub const SINK_GIVE_UP_MS: u64 = 60_000;
/// Longest a caller waits until the sink has the record of a request, in milliseconds.
pub const SINK_BEFORE_MS: u64 = 5_000;
/// Largest file of a bundle, and the whole of it, in bytes.
pub const BUNDLE_FILE_BYTES: usize = 8 * 1024 * 1024;
/// All files of a bundle together, in bytes.
pub const BUNDLE_BYTES: usize = 32 * 1024 * 1024;

// The gateway one would write for workerd: jose verifies the token, Cedar's own wasm build decides, and what is allowed goes on
// to the origin as it came.
import * as cedar from "@cedar-policy/cedar-wasm/web";
import { env } from "cloudflare:workers";
import { importJWK, jwtVerify } from "jose";
import cedarModule from "./cedar_wasm_bg.wasm";

const LEEWAY = 10;
const METHOD_GROUPS = { GET: "read", HEAD: "read", OPTIONS: "read", POST: "write", PUT: "write", PATCH: "write", DELETE: "write" };
const CONTEXT_HEADERS = ["x-request-purpose"];

// --- once ---------------------------------------------------------------------------------------------------------------

// cedar-wasm's fast way: preparsePolicySet parses the policies here, and statefulIsAuthorized only names them. The schema
// validates them here and is no part of a request: with preparseSchema each call would take the whole context and check it,
// and take about twice as long.
cedar.initSync({ module: cedarModule });
const policies = { staticPolicies: env.POLICIES };
const validated = cedar.validate({ schema: env.SCHEMA, policies });
if (validated.type !== "success" || validated.validationErrors.length > 0) throw new Error(`policies: ${JSON.stringify(validated)}`);
const parsed = cedar.preparsePolicySet("policies", policies);
if (parsed.type !== "success") throw new Error(`policies: ${JSON.stringify(parsed)}`);

// An imported key carries its algorithm, and jose takes it for no other.
const keys = new Map();
for (const jwk of env.JWKS.keys) keys.set(jwk.kid, await importJWK(jwk, jwk.alg ?? { Ed25519: "EdDSA", "P-256": "ES256" }[jwk.crv] ?? "RS256"));
const keyOf = ({ kid }) => {
  const key = keys.get(kid);
  if (key === undefined) throw new Error("no such key");
  return key;
};
const expected = {
  issuer: env.ISSUER,
  audience: env.AUDIENCE,
  algorithms: ["EdDSA", "ES256", "RS256"],
  requiredClaims: ["exp", "sub"],
  clockTolerance: LEEWAY,
};

// --- who asks -----------------------------------------------------------------------------------------------------------

const cachedTokens = Number(env.CACHED_TOKENS);
// Claims by the whole token, signature included. The oldest goes first: a Map keeps the order of insertion.
const cache = new Map();

async function verify(token) {
  const cached = cache.get(token);
  if (cached !== undefined) {
    if (Date.now() / 1000 < cached.exp + LEEWAY) return cached;
    cache.delete(token);
    throw new Error("expired");
  }
  const { payload } = await jwtVerify(token, keyOf, expected);
  if (cachedTokens > 0) {
    if (cache.size >= cachedTokens) cache.delete(cache.keys().next().value);
    cache.set(token, payload);
  }
  return payload;
}

// --- what may be done ---------------------------------------------------------------------------------------------------

const entity = (type, id) => ({ type: `Gate::${type}`, id });
const list = (claim) => (Array.isArray(claim) ? claim : typeof claim === "string" ? [claim] : []);

// The decoded path and all above it, "/" last. Undefined where an origin could read it otherwise.
function paths(url) {
  let path = url.pathname;
  if (path.includes("%")) {
    try {
      path = decodeURIComponent(path);
    } catch {
      return undefined;
    }
    // Segments that were not there before decoding, and what a second decoding would feed on.
    if (path.includes("%") || path.split("/").length !== url.pathname.split("/").length) return undefined;
  }
  if (path.includes("//")) return undefined;
  const paths = [];
  for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) paths.push(path.slice(0, end));
  if (path !== "/") paths.push("/");
  return paths;
}

// The question as the gate puts it: groups are parents of the principal, paths of the path. The gate too makes only those
// parts of the context that a policy reads, which here is `headers`.
function allowed(claims, request, paths) {
  const principal = claims ? entity("User", claims.sub) : entity("Anonymous", "anonymous");
  const action = entity("Action", request.method);
  const [resource, ...above] = paths.map((path) => entity("Path", path));
  const group = METHOD_GROUPS[request.method];
  const headers = [];
  for (const name of CONTEXT_HEADERS) {
    const value = request.headers.get(name);
    if (value !== null) headers.push({ name, value });
  }
  const answer = cedar.statefulIsAuthorized({
    preparsedPolicySetId: "policies",
    principal,
    action,
    resource,
    context: { headers },
    entities: [
      { uid: principal, attrs: {}, parents: claims ? list(claims.groups).map((group) => entity("Group", group)) : [] },
      { uid: action, attrs: {}, parents: group ? [entity("Action", group)] : [] },
      { uid: resource, attrs: {}, parents: above },
    ],
  });
  // A policy that fails might have been a `forbid`.
  return answer.type === "success" && answer.response.decision === "allow" && answer.response.diagnostics.errors.length === 0;
}

// --- answers ------------------------------------------------------------------------------------------------------------

const refuse = (status, title, headers) =>
  new Response(`{"title":"${title}","status":${status}}`, { status, headers: { "content-type": "application/problem+json", ...headers } });
const unauthorized = () => refuse(401, "Unauthorized", { "www-authenticate": "Bearer" });

export default {
  async fetch(request) {
    const authorization = request.headers.get("authorization");
    let claims;
    if (authorization !== null) {
      if (!/^Bearer /i.test(authorization)) return unauthorized();
      try {
        claims = await verify(authorization.slice(7).trim());
      } catch {
        return unauthorized();
      }
    }
    const path = paths(new URL(request.url));
    if (path === undefined) return refuse(400, "Bad Request");
    if (!allowed(claims, request, path)) return claims ? refuse(403, "Forbidden") : unauthorized();
    return env.ORIGIN.fetch(request);
  },
};

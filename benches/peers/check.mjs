#!/usr/bin/env node
// check [PEER…]: makes keys, starts each peer in front of a small origin, and asks it what the bench will ask. Prints every answer;
// exit code 1 when one is wrong. A peer that is not installed is said to be missing, and is no mistake.
import { spawn } from "node:child_process";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { createServer as listen } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const installed = join(process.env.CARGO_TARGET_DIR ?? join(here, "../../target"), "peers/npm/node_modules");
const jose = await import(pathToFileURL(join(installed, "jose/dist/webapi/index.js"))).catch(() => {
  console.error("peers: jose is not installed: run benches/peers/setup");
  process.exit(3);
});

const PEERS = process.argv.length > 2 ? process.argv.slice(2) : ["workerd", "workerd-cached", "envoy", "haproxy"];
const ISSUER = "https://issuer.example.com/";
const AUDIENCE = "https://api.example.com";
const work = mkdtempSync(join(tmpdir(), "peers-"));

// --- keys and tokens ----------------------------------------------------------------------------------------------------

const make = {
  ed: () => generateKeyPairSync("ed25519"),
  es256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  rsa: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const ALGORITHMS = { ed: "EdDSA", es256: "ES256", rsa: "RS256" };
const keys = Object.fromEntries(Object.entries(make).map(([kid, pair]) => [kid, pair()]));
const strangers = Object.fromEntries(Object.entries(make).map(([kid, pair]) => [kid, pair()]));
const KEYS = join(work, "keys");
mkdirSync(KEYS);
const jwks = Object.entries(keys).map(([kid, { publicKey }]) => ({ ...publicKey.export({ format: "jwk" }), kid, alg: ALGORITHMS[kid], use: "sig" }));
writeFileSync(join(KEYS, "jwks.json"), JSON.stringify({ keys: jwks }));
for (const kid of ["es256", "rsa"]) writeFileSync(join(KEYS, `${kid}.pem`), keys[kid].publicKey.export({ type: "spki", format: "pem" }));

const now = () => Math.floor(Date.now() / 1000);
const claims = (groups, more) => ({ iss: ISSUER, aud: AUDIENCE, sub: "alice", groups, iat: now(), exp: now() + 300, ...more });
const signed = (kid, payload, header = {}, pairs = keys) =>
  new jose.SignJWT(payload).setProtectedHeader({ alg: ALGORITHMS[kid], typ: "JWT", kid, ...header }).sign(pairs[kid].privateKey);
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

async function questions(kid) {
  const good = (groups, more) => signed(kid, claims(groups, more));
  const [readers, three, both] = await Promise.all([good(["readers"]), good(["team-3"]), good(["other", "team-4", "readers"])]);
  const [head, body, signature] = readers.split(".");
  const flipped = Buffer.from(signature, "base64url");
  flipped[flipped.length - 8] ^= 1;
  const symmetric = `${base64({ alg: "HS256", typ: "JWT", kid })}.${body}`;
  const pem = keys[kid].publicKey.export({ type: "spki", format: "pem" });
  const document = ["GET", "/api/documents/1"];
  const path = (path, token, status, what) => [`GET ${path}, ${what}`, status, "GET", path, token];
  const bad = (what, token) => [`bad token: ${what}`, 401, ...document, token];
  return [
    ["readers read a document", 200, ...document, readers],
    ["again, by the same token", 200, ...document, readers],
    ["readers read the list", 200, "GET", "/api/documents?page=2", readers],
    ["readers HEAD a document", 200, "HEAD", "/api/documents/1", readers],
    ["readers delete a document", 403, "DELETE", "/api/documents/1", readers],
    ["not for training", 403, ...document, readers, { "x-request-purpose": "training" }],
    ["for another purpose", 200, ...document, readers, { "x-request-purpose": "export" }],
    ["nobody for training", 401, ...document, undefined, { "x-request-purpose": "training" }],
    ["others read a document", 403, ...document, three],
    path("/api/documents-old", readers, 403, "a longer name"),
    path("/api", readers, 403, "above"),
    path("/teams/3", three, 200, "own team"),
    path("/teams/3/pages/7", three, 200, "own team, below"),
    path("/teams/4", three, 403, "another team"),
    path("/teams/33", three, 403, "a longer number"),
    path("/teams/4", both, 200, "group in the middle"),
    path("/teams/17", await good(["team-17"]), 200, "the last team"),
    path("/teams/18", await good(["team-18"]), 403, "no such team"),
    ["a team's page for export", 403, "GET", "/teams/3", three, { "x-request-purpose": "export" }],
    ["a group that looks like two", 403, ...document, await good(['x,"readers",y', '"readers"'])],
    path("/teams/3", await good([]), 403, "no groups"),
    path("/teams/3", await good(undefined), 403, "no claim `groups`"),
    ["health without token", 200, "GET", "/health"],
    ["health with a token", 200, "GET", "/health", three],
    ["health with a bad token", 401, "GET", "/health", "garbage"],
    ["POST health without token", 401, "POST", "/health"],
    ["POST health with a token", 403, "POST", "/health", three],
    ["a document without token", 401, ...document],
    ["audience in a list", 200, ...document, await good(["readers"], { aud: ["https://other.example.com", AUDIENCE] })],
    bad("forged: a stranger's key", await signed(kid, claims(["readers"]), {}, strangers)),
    bad("forged: one bit of the signature", `${head}.${body}.${flipped.toString("base64url")}`),
    bad("forged: another payload", `${head}.${base64(claims(["readers", "team-3"]))}.${signature}`),
    bad("forged: without signature", `${head}.${body}.`),
    bad("forged: alg none", `${base64({ alg: "none", typ: "JWT", kid })}.${body}.`),
    bad("forged: HS256 by the public key", `${symmetric}.${createHmac("sha256", pem).update(symmetric).digest("base64url")}`),
    bad("key that nobody has", await signed(kid, claims(["readers"]), { kid: "nobody" })),
    bad("expired", await good(["readers"], { iat: now() - 900, exp: now() - 300 })),
    bad("without exp", await good(["readers"], { exp: undefined })),
    bad("not yet valid", await good(["readers"], { nbf: now() + 300 })),
    bad("another issuer", await good(["readers"], { iss: "https://other.example.com/" })),
    bad("another audience", await good(["readers"], { aud: "https://other.example.com" })),
    bad("without audience", await good(["readers"], { aud: undefined })),
    bad("garbage", "garbage"),
    bad("garbage in three parts", "a.b.c"),
    ["after all that, a good one", 200, ...document, readers],
  ];
}

// --- the origin, the peers, and who asks ------------------------------------------------------------------------------------

let connections = 0;
const origin = createServer((request, response) => {
  request.resume();
  response.setHeader("x-origin", `${request.method} ${request.url}`);
  response.end("from the origin");
});
origin.keepAliveTimeout = 60_000;
origin.on("connection", () => connections++);
await new Promise((ready) => origin.listen(0, "127.0.0.1", ready));

const freePort = () =>
  new Promise((done) => {
    const server = listen().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

function ask(agent, port, method, path, token, headers = {}) {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((done, fail) => {
    const asked = request({ agent, port, host: "127.0.0.1", method, path, headers: { ...headers, ...authorization } }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk) => (body += chunk));
      response.on("end", () => done({ status: response.statusCode, headers: response.headers, body, reused: asked.reusedSocket })).on("error", fail);
    });
    asked.on("error", fail).end();
  });
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
let wrong = 0;

async function check(peer) {
  const port = await freePort();
  const folder = join(work, peer);
  mkdirSync(folder);
  const environment = { PORT: port, ORIGIN_PORT: origin.address().port, KEYS, ISSUER, AUDIENCE, POLICIES: join(here, "policies"), WORK: folder };
  const server = spawn(join(here, "serve"), [peer], { env: { ...process.env, ...environment }, stdio: ["ignore", "inherit", "inherit"] });
  let ended;
  const end = new Promise((done) => server.on("exit", (code) => done((ended = code ?? "killed"))));
  try {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let tries = 0; ; tries++) {
      if (ended === 3) return console.log(`\nmissing: ${peer}`);
      if (ended !== undefined || tries > 150) throw new Error(`${peer} does not start`);
      if (await ask(agent, port, "GET", "/health").then(() => true, () => false)) break;
      await sleep(100);
    }
    connections = 0;
    let asked = 0;
    let reused = 0;
    for (const [kid, algorithm] of Object.entries(ALGORITHMS)) {
      if (peer === "haproxy" && kid === "ed") continue;
      console.log(`\n${peer}, ${algorithm}`);
      for (const [what, status, method, path, token, headers] of await questions(kid)) {
        const answer = await ask(agent, port, method, path, token, headers);
        const faults = [];
        if (answer.status !== status) faults.push(`not ${status}`);
        const proxied = answer.headers["x-origin"] === `${method} ${path}` && (method === "HEAD" || answer.body === "from the origin");
        if (proxied !== (status === 200)) faults.push(proxied ? "the origin was asked" : "not the origin's answer");
        if (!proxied && !(Number(answer.headers["content-length"]) === answer.body.length || method === "HEAD")) faults.push("no content-length");
        wrong += faults.length > 0;
        asked++;
        reused += answer.reused;
        console.log(`  ${faults.length > 0 ? "✗" : "✓"} ${[`${answer.status}  ${what}`, ...faults].join(": ")}`);
      }
    }
    // A token that is remembered ends all the same.
    const last = await signed("es256", claims(["readers"], { iat: now() - 300, exp: now() - 7 }));
    const within = await ask(agent, port, "GET", "/api/documents/1", last);
    await sleep(5000);
    const after = await ask(agent, port, "GET", "/api/documents/1", last);
    const ends = within.status === 200 && after.status === 401;
    wrong += !ends;
    console.log(`\n${peer}\n  ${ends ? "✓" : "✗"} ${within.status}, ${after.status}  a token that expires between two requests`);
    console.log(`  ${asked} requests: ${asked - reused} new connections to the peer, ${connections} new ones to the origin`);
  } catch (error) {
    wrong++;
    console.log(`\n✗ ${peer}: ${error.message}`);
  } finally {
    server.kill("SIGKILL");
    await end;
  }
}

for (const peer of PEERS) await check(peer);
origin.close();
origin.closeAllConnections();
rmSync(work, { recursive: true });
console.log(wrong > 0 ? `\n${wrong} wrong` : "\nall right");
process.exitCode = wrong > 0 ? 1 : 0;

// One record whole: what was decided, why, and every field.

import { ask, counted, el, entity, micros, prose, shown, time, value } from "./dom.js";
import { address } from "./where.js";

/** In the order they are read; what is not here comes after it. */
const ORDER = ["request", "identity", "certificate", "signed_url", "cedar", "inputs", "upstream", "signing", "change", "shadow", "checkpoint",
  "dropped", "timing_us", "chain"];
/** What has no part of its own. */
const PLAIN = "Record";
const FIRST = ["time", "kind", "decision", "reason", "mode", "enforced", "detail", "status", "region", "decision_id", "trace_id", "span_id", "policy_digest", "schema_digest",
  "build_digest"];
const TITLES = { request: "Request", identity: "Token", certificate: "Client certificate", signed_url: "Signed URL", cedar: "What Cedar was asked",
  inputs: "What else was decided on", upstream: "Origin", signing: "URLs to sign", change: "Change of the gate's state", shadow: "Policies on trial",
  checkpoint: "Checkpoint", dropped: "Lost records", timing_us: "Time", chain: "Place in the chain", policies: "Determining policies",
  credentials: "Credentials", errors: "Evaluation errors", masked: "Masked fields", erased: "Erased fields" };
/** Seconds since 1970. */
const SECONDS = new Set(["expires_at", "issued_at", "auth_time", "not_before", "not_after", "decided_at"]);
const KINDS = { token: "Token", dpop_proof: "DPoP proof", certificate: "Client certificate", signed_url: "Signed URL" };

export function recordPage({ signal }) {
  const body = el("div");
  return {
    title: "Record",
    live: false,
    element: el("div", { class: "record" }, body),
    async refresh() {
      const answer = await ask(`/api/record${location.search}`, signal).catch((error) => {
        if (error.name === "AbortError") throw error;
        return { error: error.status === 404 ? "There is no such record in these logs, or it has not been read yet." : error.message };
      });
      body.replaceChildren(...(answer.error ? [el("h1", {}, "No record"), el("p", { class: "empty" }, answer.error)] : draw(answer)));
    },
  };
}

function draw({ records, meanings }) {
  const same = records.length > 1
    ? el("p", { class: "about" }, `${counted(records.length, "record")} ${records.length === 1 ? "has" : "have"} this decision id: the decision and what became of it, or copies.`) : "";
  return [same, ...records.flatMap((one) => whole(one, new Map(Object.entries(meanings))))];
}

function whole(one, meanings) {
  const where = el("p", { class: "where" }, "Line ", String(one.line), " of ", value(one.file ?? "a log"), state(one));
  if (one.text === null) {
    return [el("article", {}, el("h1", {}, "Not there any more"), where,
      el("p", { class: "empty" }, "The log has something else at this place now than when it was read: it was cut, or changed."))];
  }
  let record;
  try {
    record = JSON.parse(one.text);
  } catch (error) {
    return [el("article", {}, el("h1", {}, "No record"), where, el("pre", { class: "raw" }, one.text))];
  }
  const doubtful = Boolean(one.fault) && one.fault !== "authentic";
  return [el("article", {},
    one.findings.length ? el("ul", { class: "band broken" }, one.findings.map((finding) => el("li", {}, el("span", { class: "fault" }, finding.fault), " ", finding.message))) : "",
    headline(record, meanings, doubtful), where,
    why(record, meanings, one.file, one.why), fields(record),
    el("details", { class: "line" }, el("summary", {}, "The line of the log"), el("pre", { class: "raw", tabindex: "0" }, one.text)))];
}

function state({ fault }) {
  if (!fault) return " · not verified";
  if (fault === "authentic") return [" · ", el("span", { class: "good" }, "its MAC is right")];
  return [" · ", el("span", { class: "fault" }, fault)];
}

const text = (thing) => (typeof thing === "string" ? thing : thing === undefined || thing === null ? "" : JSON.stringify(thing));
const list = (thing) => (Array.isArray(thing) ? thing : []);
const object = (thing) => (thing && typeof thing === "object" && !Array.isArray(thing) ? thing : {});

/** The decision in words. */
function headline(record, meanings, doubtful) {
  const kind = text(record.kind) || "decision";
  const when = text(record.time);
  if (kind !== "decision") {
    const words = {
      outcome: ["Outcome", `The request got status ${text(record.status) || "unknown"}.`],
      checkpoint: ["Checkpoint", `The chain had ${text(object(record.checkpoint).decisions)} decisions here.`],
      dropped: ["Lost records", `${text(object(record.dropped).count)} records were not delivered: ${text(object(record.dropped).why)}.`],
    }[kind] ?? [kind, "A kind of record that this version does not know."];
    return el("header", { class: `band ${kind === "dropped" ? "broken" : "unknown"}` }, el("h1", {}, words[0]), el("p", {}, words[1]), el("p", { class: "when" }, value(when)));
  }
  const allowed = record.decision === "allow";
  // A gate that only observes lets through what policies deny.
  const observed = record.decision === "deny" && record.enforced === false;
  const request = object(record.request);
  const cedar = object(record.cedar);
  const principal = text(cedar.principal) || text(object(record.identity).principal) || text(object(record.certificate).principal);
  const who = principal ? [entity(principal).type ? `${entity(principal).type} ` : "", value(entity(principal).id)] : ["A caller nobody verified"];
  const what = [el("span", { class: "method" }, text(request.method) || "?"), " ", value(`${text(request.host)}${text(request.path)}` || "something that could not be read")];
  const reason = text(record.reason);
  const upstream = object(record.upstream);
  const failed = object(upstream.error);
  const ids = list(record.policies).map((policy) => text(object(policy).id));
  const by = ids.length ? [" by ", ids.map((id, at) => [at ? (at === ids.length - 1 ? " and " : ", ") : "", value(id)])] : "";
  const status = text(record.status);
  const ending = (allowed || observed) && failed.reason
    ? [" The origin gave no answer (", value(text(failed.reason)), "), so the caller got ", status, "."]
    : status ? [" The caller got status ", status, "."] : [" What became of it is told in its outcome."];
  return el("header", { class: `band ${doubtful ? "unknown" : allowed ? "allow" : "deny"}` },
    el("h1", {}, allowed ? "Allowed" : observed ? "Denied, and not enforced" : record.decision === "deny" ? "Denied" : shown(text(record.decision) || "No decision"), doubtful ? el("small", {}, " as this line says it") : ""),
    el("p", { class: "sentence" }, who, allowed ? " was let through to " : observed ? " was let through, in the mode observe, though policies deny it, to " : " was refused ", what, by, ".", ending),
    el("p", {}, el("a", { class: "code", href: address("/records", { reason }) }, value(reason || "no reason")),
      meanings.has(reason) ? [" – ", prose(meanings.get(reason).meaning)] : "", record.detail ? [": ", value(text(record.detail))] : ""),
    el("p", { class: "when" }, value(when.replace("T", " ").replace("Z", " UTC")), " · ", value(text(record.region) || "no region"), " · took ", micros(Number(object(record.timing_us).total) || 0)));
}

/** The determining policies and the fates of the credentials. */
function why(record, meanings, file, told) {
  if ((text(record.kind) || "decision") !== "decision") return "";
  const reason = text(record.reason);
  const policies = list(record.policies).map((one) => {
    const { id, reason: because, owner, control } = object(one);
    return el("li", {}, el("h3", {}, el("a", { href: address("/records", { policy: text(id) }) }, value(text(id)))),
      because ? el("p", {}, value(text(because))) : el("p", { class: "none" }, "no reason is given in the policy"),
      el("dl", {}, el("div", {}, el("dt", {}, "Owner"), el("dd", {}, owner ? value(text(owner)) : "–")),
        el("div", {}, el("dt", {}, "Control"), el("dd", {}, control ? value(text(control)) : "–"))));
  });
  const none = record.cedar ? "No policy permitted it, and none forbade it. What no policy permits is denied."
    : "Policies were not asked: the request was refused before.";
  const credentials = list(record.credentials).map((one) => {
    const { kind, fate, reason: code, detail } = object(one);
    const meaning = meanings.get(text(code))?.meaning;
    return el("li", {}, el("h3", {}, KINDS[text(kind)] ?? value(text(kind)), " ", el("span", { class: `fate ${{ verified: "good", refused: "bad" }[fate] ?? ""}` }, text(fate))),
      code ? el("p", {}, el("a", { class: "code", href: address("/records", { reason: text(code) }) }, value(text(code))), meaning ? [" – ", prose(meaning)] : "") : "",
      detail ? el("p", {}, value(text(detail))) : "");
  });
  const errors = list(record.errors);
  const advice = meanings.get(reason)?.advice;
  return el("section", { class: "why", id: "why" }, el("header", {}, el("h2", {}, "Why")),
    el("div", { class: "columns two" },
      el("div", {}, el("h4", {}, "Determining policies"), policies.length ? el("ul", { class: "cards" }, policies) : el("p", { class: "empty" }, none)),
      el("div", {}, el("h4", {}, "Credentials"), credentials.length ? el("ul", { class: "cards" }, credentials) : el("p", { class: "empty" }, "None was looked at."))),
    errors.length ? el("div", { class: "errors" }, el("h4", {}, "Evaluation errors"), el("ul", {}, errors.map((error) => el("li", {}, value(text(error)))))) : "",
    advice && advice !== "nothing" ? el("p", { class: "advice" }, el("b", {}, "What to do: "), prose(advice), ".") : "",
    clauses(told),
    closer(text(record.decision_id), text(file)));
}

const MET = { yes: ["✓", "held", "good"], no: ["✗", "did not hold", "bad"], failed: ["!", "could not be evaluated", "bad"], not_reached: ["·", "nothing depended on it", "none"] };

/** Each policy that decided, taken apart; of those that came nearest what they lacked. */
function clauses(told) {
  if (!told) return "";
  const notes = list(told.notes).map(({ note }) => el("p", { class: "empty" }, value(text(note))));
  const parts = list(told.explanations).flatMap(({ item, policies, nearest }) => [
    item === null || item === undefined ? "" : el("h4", {}, `URL ${item + 1}`),
    list(policies).map((one) => policy(one, true)),
    list(nearest).length ? el("h4", {}, "No policy permitted it. Nearest were") : "",
    list(nearest).map((one) => policy(one, false)),
  ]);
  if (!notes.length && !parts.length) return "";
  return el("div", { class: "clauses" }, el("h4", {}, "Clause by clause"), notes, parts);
}

function policy({ id, effect, text: source, clauses }, whole) {
  const rows = list(clauses).filter(({ met }) => whole || met === "no" || met === "failed").map(({ part, text: words, met, detail }) => {
    const [sign, meaning, kind] = MET[met] ?? ["?", text(met), "none"];
    return el("li", {}, el("span", { class: `sign ${kind}`, title: meaning, role: "img", "aria-label": meaning }, sign),
      " ", part === "when" || part === "unless" ? `${part} ` : "", el("code", {}, shown(text(words))), detail ? [": ", value(text(detail))] : "");
  });
  return el("article", { class: "policy" }, el("h3", {}, `${text(effect)} `, value(text(id))),
    rows.length ? el("ul", { class: "terms" }, rows) : el("p", { class: "empty" }, "It has no conditions."),
    whole ? el("details", {}, el("summary", {}, "The policy as it is written"), el("pre", { class: "raw", tabindex: "0" }, text(source))) : "");
}

/** The command that goes on from here. SECURITY: it is there to be copied into a shell, so only plain names are in it. */
function closer(id, file) {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) return "";
  const log = /^[\w./][\w./-]*$/.test(file) ? file : "LOG";
  return el("p", { class: "closer" }, "In a terminal: ", el("code", {}, `cedargate audit why ${id} ${log}`));
}

/** Every field. */
function fields(record) {
  const hidden = new Map([...list(record.masked).map((place) => [text(place), "masked"]), ...list(record.erased).map((place) => [text(place), "erased"])]);
  const groups = [];
  const single = [];
  const names = [...ORDER.filter((name) => Object.hasOwn(record, name)), ...Object.keys(record).filter((name) => !ORDER.includes(name))];
  for (const name of names) {
    const thing = record[name];
    const full = thing !== null && typeof thing === "object" && (Array.isArray(thing) ? thing.length : Object.keys(thing).length);
    if (full && ORDER.includes(name)) groups.push(group(TITLES[name] ?? name, tree(thing, name, hidden)));
    else if (full && typeof thing[0] === "object" || full && !Array.isArray(thing)) groups.push(group(TITLES[name] ?? name, tree(thing, name, hidden)));
    else single.push([name, thing]);
  }
  const place = ([name]) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  single.sort((one, other) => place(one) - place(other));
  groups.unshift(group(PLAIN, el("dl", { class: "tree" }, single.map(([name, thing]) => pair(name, thing, name, hidden)))));
  return el("section", { class: "fields-of" }, el("header", {}, el("h2", {}, "Every field")), el("div", { class: "groups" }, groups));
}

const group = (title, content) => el("article", { class: "group" }, el("h3", {}, title), content);

function tree(thing, place, hidden, depth = 0) {
  // Deeper than any record is: shown as it is written.
  if (depth > 6) return value(JSON.stringify(thing));
  if (Array.isArray(thing)) {
    if (thing.every((one) => one === null || typeof one !== "object")) return el("ul", { class: "flat" }, thing.map((one) => el("li", {}, leaf(one, "", place))));
    return el("ol", { class: "items" }, thing.map((one) => el("li", {}, one !== null && typeof one === "object" ? tree(one, place, hidden, depth + 1) : leaf(one, "", place))));
  }
  return el("dl", { class: "tree" }, Object.entries(thing).map(([name, one]) => pair(name, one, `${place}.${name}`, hidden, depth)));
}

function pair(name, thing, place, hidden, depth = 0) {
  const full = thing !== null && typeof thing === "object" && (Array.isArray(thing) ? thing.length : Object.keys(thing).length);
  const mark = hidden.get(place);
  return el("div", { class: full && !Array.isArray(thing) ? "nested" : "" }, el("dt", {}, value(name)),
    el("dd", {}, full ? tree(thing, place, hidden, depth + 1) : leaf(thing, name, place), mark ? el("span", { class: "mark" }, mark) : ""));
}

const LINKS = { "cedar.principal": "principal", "identity.principal": "principal", "certificate.principal": "principal", "request.client": "client",
  "request.host": "host", "request.path": "path", "request.method": "method", policy_digest: "digest", trace_id: "trace", region: "region", decision_id: "id" };

function leaf(thing, name, place) {
  if (thing === null || thing === undefined) return el("span", { class: "none" }, "null");
  if (Array.isArray(thing)) return el("span", { class: "none" }, "none");
  if (typeof thing === "object") return el("span", { class: "none" }, "empty");
  if (thing === "") return el("span", { class: "none" }, "empty");
  if (typeof thing === "number" && SECONDS.has(name)) return [value(String(thing)), el("small", {}, ` ${time(thing * 1000, false)} UTC`)];
  if (typeof thing === "number" && (place.startsWith("timing_us.") || name === "time_us")) return [value(String(thing)), el("small", {}, ` ${micros(thing)}`)];
  const filter = LINKS[place];
  if (filter && typeof thing === "string" && (filter !== "path" || thing.startsWith("/"))) return el("a", { href: address("/records", { [filter]: thing }) }, value(thing));
  return value(String(thing));
}

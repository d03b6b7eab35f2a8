// The pages of figures, of records and of the chains.

import { decades, decisions, digests, times } from "./charts.js";
import { ask, count, counted, el, entity, micros, percent, prose, span, step, time, value } from "./dom.js";
import { address, go, join } from "./where.js";

/** Rows of the tail on the overview. */
const TAIL = 12;
/** The least time between two drawings of the figures, in milliseconds. */
const CALM = 2000;

const section = (title, note, ...content) => el("section", {}, el("header", {}, el("h2", {}, title), note ? el("p", {}, note) : ""), ...content);
const iso = (millis) => new Date(millis).toISOString().replace(".000Z", "Z");
const narrow = (from, to) => go(address(location.pathname, { last: null, since: iso(from), until: iso(to) }));
const brief = (digest) => (digest ? digest.slice(0, 12) : "no digest");

export function overview({ filters, status, signal }) {
  const numbers = el("div", { class: "numbers" });
  const body = el("div");
  const tail = el("div");
  let drawn = 0;
  let cost = 0;
  return {
    title: "Overview",
    live: true,
    element: el("div", { class: "overview" }, numbers, body, section("Latest records", el("a", { href: address("/records") }, "all of them"), tail)),
    async refresh() {
      // Figures of a million records cost more than a look at the newest ones.
      const due = performance.now() - drawn >= Math.max(CALM, cost * 4) && !body.querySelector(".cursor rect");
      const now = !drawn || due;
      if (now) {
        const begun = performance.now();
        const [figures, top] = await Promise.all(["figures", "top"].map((name) => ask(join(`/api/${name}`, filters), signal)));
        [cost, drawn] = [performance.now() - begun, performance.now()];
        const slo = status()?.slo_us ?? 50000;
        numbers.replaceChildren(...tiles(figures, slo));
        const places = () => [...body.querySelectorAll("a, svg[tabindex]")];
        const focused = places().indexOf(document.activeElement);
        body.replaceChildren(...panels(figures, top, slo));
        if (focused >= 0) places()[focused]?.focus({ preventScroll: true });
      }
      const { records } = await ask(join("/api/records", filters), signal);
      // Whoever stands in the table is not pulled away.
      const reading = tail.contains(document.activeElement);
      if (!reading) tail.replaceChildren(table(records.slice(0, TAIL)));
      return now && !reading;
    },
  };
}

function tiles(figures, slo) {
  const { allowed, denied, errors, answered, p50, p95, p99 } = figures;
  const all = allowed + denied;
  const tile = (name, number, note, state = "") => el("div", { class: `tile ${state}` }, el("h2", {}, name), el("p", { class: "big" }, number), el("p", {}, note));
  return [
    tile("Decisions", count(all), figures.cut ? "the newest that match; there are more" : `in ${span(figures.window.to - figures.window.from)}`),
    tile("Denied", percent(denied, all), `${count(denied)} of ${count(all)}`),
    tile("Errors", percent(errors, answered), `${count(errors)} with status 500 or above`, errors > answered / 100 ? "bad" : ""),
    tile("p99", micros(p99), `p50 ${micros(p50)}, p95 ${micros(p95)}; SLO ${micros(slo).replace(/\.0+ /, " ")}`, p99 > slo ? "bad" : ""),
  ];
}

function panels(figures, top, slo) {
  const { window } = figures;
  const steps = `in steps of ${step(window.step)}`;
  const scale = decades(figures, slo);
  // As they followed one another.
  const ages = { ...figures, digests: [...figures.digests].sort((one, other) => one.steps[0][0] - other.steps[0][0]) };
  const more = (all, told) => (all > told ? `the ${told} with most of ${count(all)}` : "");
  const regions = figures.regions.map((region) => {
    const over = region.points.filter((point) => point[5] > slo).length;
    return el("article", {},
      el("header", {}, el("h3", {}, region.region ? value(region.region) : "no region"),
        el("p", {}, `p99 ${micros(region.p99)} · errors ${percent(region.errors, region.n)} of ${count(region.n)} · `,
          el("span", { class: over ? "bad" : "" }, `p99 over the SLO in ${over} of ${counted(region.points.length, "step")}`))),
      times(figures, region, slo, scale));
  });
  return [
    section("Decisions over time", el("span", { class: "legend" }, el("i", { class: "allow" }), "allowed ", el("i", { class: "deny" }), "denied · ", steps),
      decisions(figures, narrow)),
    el("div", { class: "columns" },
      section("Why denied", more(figures.reason_count, figures.reasons.length),
        ranking(figures.reasons.map(({ reason, n, meaning }) => ({ label: reason, n, note: meaning, href: address("/records", { decision: "deny", reason }) })))),
      section("Principals denied most", top.cut ? "of the newest that match" : "",
        ranking(top.principals.map(([name, n]) => ({ label: entity(name).id, type: entity(name).type, n, none: "nobody verified",
          href: name ? address("/records", { decision: "deny", principal: name }) : null })))),
      section("Paths denied most", top.cut ? "of the newest that match" : "",
        ranking(top.paths.map(([path, n]) => ({ label: path, n, none: "not recorded", href: path.startsWith("/") ? address("/records", { decision: "deny", path }) : null }))))),
    section("Time and errors of each region", el("span", { class: "legend" }, el("i", { class: "p50" }), "p50 ", el("i", { class: "p95" }), "p95 ",
      el("i", { class: "p99" }), "p99 · ", steps, more(figures.region_count, figures.regions.length)),
    regions.length ? el("div", { class: "regions" }, regions) : empty("No decisions.")),
    section("Policy digests over time", more(figures.digest_count, figures.digests.length),
      figures.digests.length ? [digests(ages, brief), el("ol", { class: "digests" }, ages.digests.map((row) => el("li", {},
        row.digest ? el("a", { href: address("/records", { digest: row.digest }), title: row.digest }, value(brief(row.digest))) : "no digest",
        ` decided ${counted(row.n, "request")}, first ${time(row.steps[0][0], false)}, last ${time(row.steps.at(-1)[0], false)}`)))] : empty("No decisions.")),
  ];
}

const empty = (text) => el("p", { class: "empty" }, text);

/** Names by how many of each there are. */
function ranking(rows) {
  if (!rows.length) return empty("None.");
  const most = Math.max(...rows.map((row) => row.n));
  return el("ol", { class: "ranking" }, rows.map(({ label, type, n, note, href, none }) => {
    const bar = el("span", { class: "measure", "aria-hidden": "true" });
    bar.style.setProperty("--part", String(n / most));
    const text = [type ? el("small", {}, type, " ") : "", label ? value(label) : none ?? "none"];
    return el("li", {}, bar, href ? el("a", { href }, text) : el("span", {}, text), el("b", {}, count(n)), note ? el("small", {}, prose(note)) : "");
  }));
}

/** Records as rows; as cards where there is no room. */
export function table(records) {
  if (!records.length) return empty("No record matches.");
  const head = ["Time (UTC)", "Decision", "Status", "Reason", "Principal", "Request", "Policies", "Region", "Took"];
  return el("div", { class: "scroll" }, el("table", { class: "records" },
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, records.map(row))));
}

function row(record) {
  const { t, n, kind, decision, reason, status, region, method, host, principal, policies, total, fault, path } = record;
  const who = entity(principal);
  const state = decision || kind;
  const cell = (name, ...content) => el("td", { class: content.every((part) => part === "–" || part === "") ? `${name} dash` : name }, content);
  return el("tr", { class: state },
    cell("time", el("a", { href: `/record?n=${n}` }, t ? time(t) : "no time")),
    cell("decision", el("span", { class: `verdict ${state}` }, { allow: "allowed", deny: "denied" }[state] ?? kind),
      fault && fault !== "authentic" ? el("span", { class: "fault" }, fault) : ""),
    cell("status", status || "–"),
    cell("reason", reason ? value(reason) : "–"),
    cell("principal", principal ? [value(who.id, { title: principal })] : "–"),
    cell("request", method ? el("span", { class: "method" }, method) : "", " ", value(path, { title: host })),
    cell("policies", policies.map((id, at) => [at ? ", " : "", value(id)])),
    cell("region", region ? value(region) : ""),
    cell("took", kind === "decision" ? micros(total) : ""));
}

export function recordsPage({ filters, signal }) {
  const list = el("div");
  const foot = el("div", { class: "older" });
  const fresh = el("p", { class: "fresh", role: "status" });
  const about = el("p", { class: "about" });
  let [records, next, extended] = [[], null, false];
  let countedAt = 0;
  const draw = () => {
    list.replaceChildren(table(records));
    foot.replaceChildren(next ? el("button", { type: "button", on: { click: older } }, "Older records") : "");
  };
  async function older() {
    const query = new URLSearchParams(filters);
    query.append("before", next.join(","));
    const more = await ask(join("/api/records", query), signal);
    const at = records.length;
    records = [...records, ...more.records];
    [next, extended] = [more.next, true];
    draw();
    list.querySelectorAll("tbody a")[at]?.focus();
  }
  const page = {
    title: "Records",
    live: true,
    element: el("div", {}, el("header", { class: "page" }, el("h1", {}, "Records"), about), fresh, list, foot),
    async refresh() {
      const newest = await ask(join("/api/records", filters), signal);
      const due = performance.now() - countedAt > CALM * 2 || !countedAt;
      if (due) {
        const figures = await ask(join("/api/figures", filters), signal);
        countedAt = performance.now();
        const all = figures.allowed + figures.denied;
        about.textContent = `${figures.cut ? "more than " : ""}${counted(all, "decision")} ${all === 1 ? "matches" : "match"}, ${count(figures.denied)} denied`;
      }
      // Whoever went back in the list, or stands in it, is not pulled away.
      const reading = extended || list.contains(document.activeElement);
      if (reading && records.length) {
        const known = new Set(records.map((record) => record.n));
        const come = newest.records.filter((record) => !known.has(record.n)).length;
        fresh.replaceChildren(come ? el("button", { type: "button", on: { click: () => {
          extended = false;
          document.activeElement.blur();
          page.refresh();
        } } }, `Show ${come >= newest.records.length ? "newer records" : counted(come, "newer record")}`) : "");
        return due;
      }
      fresh.replaceChildren();
      [records, next] = [newest.records, newest.next];
      draw();
      return due;
    },
  };
  return page;
}

const FAULTS = {
  altered: "its content is not what a gate wrote", reordered: "it stands after one that was written later", duplicated: "it is there twice",
  missing: "records are not there", foreign: "another key, or another chain", unsigned: "without a MAC", malformed: "begins as a record and is none",
};

export function chainPage({ status, signal }) {
  const body = el("div");
  return {
    title: "Chain",
    live: true,
    element: el("div", {}, el("header", { class: "page" }, el("h1", {}, "Chain"), el("p", { class: "about" }, "Whether the logs are what gates wrote.")), body),
    async refresh() {
      const now = status() ?? await ask("/api/status", signal);
      const { findings } = await ask("/api/findings", signal);
      if (body.contains(document.activeElement)) return false;
      body.replaceChildren(...verdict(now, findings));
    },
  };
}

function verdict(now, findings) {
  const { chain } = now;
  if (!chain) {
    return [el("div", { class: "band unknown" }, el("h2", {}, "Not verified"),
      el("p", {}, "This console was started without a keyring, so nothing is known about whether records were altered or left out. Start it with ",
        el("code", {}, "--keyring FILE"), " to verify every record as it comes."))];
  }
  const read = `${counted(chain.records, "record")} read, ${count(chain.authentic)} authentic, in ${counted(chain.chains, "chain")}`;
  if (!chain.broken) {
    return [el("div", { class: "band intact" }, el("h2", {}, now.caught_up ? "Intact" : "Intact so far"), el("p", {}, `${read}.`),
      el("p", {}, "Nothing is altered and nothing is missing between the first and the last record of each chain. That the last one is really the last, ",
        "only ends that were kept elsewhere can show: see ", el("code", {}, "cedargate audit verify --anchors"), "."))];
  }
  const all = Object.values(chain.counts).reduce((sum, n) => sum + n, 0);
  return [
    el("div", { class: "band broken" }, el("h2", {}, "Broken"), el("p", {}, `${read}; ${counted(all, "finding")}.`),
      el("ul", { class: "faults" }, Object.entries(chain.counts).map(([fault, n]) => el("li", {},
        fault === "missing" || fault === "malformed" ? el("b", {}, `${count(n)} ${fault}`) : el("a", { href: address("/records", { fault }) }, `${count(n)} ${fault}`),
        ` – ${FAULTS[fault] ?? ""}`)))),
    section("Findings", findings.length < all ? `the first ${count(findings.length)} of ${count(all)}` : "", el("div", { class: "scroll" }, el("table", { class: "findings" },
      el("thead", {}, el("tr", {}, ["Finding", "Where", "Of its chain", "Instance", "Decision"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, findings.map((finding) => el("tr", {},
        el("td", {}, el("span", { class: "fault" }, finding.fault), el("small", {}, finding.message)),
        el("td", {}, finding.file ? value(`${finding.file}:${finding.line}`) : "–"),
        el("td", {}, finding.what),
        el("td", { class: finding.instance ? "" : "dash" }, finding.instance ? value(finding.instance) : "–"),
        el("td", { class: finding.decision_id ? "" : "dash" }, finding.decision_id ? el("a", { href: `/record?id=${encodeURIComponent(finding.decision_id)}` }, value(finding.decision_id)) : "–"))))))),
  ];
}

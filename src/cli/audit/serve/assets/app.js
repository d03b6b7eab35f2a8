// Which page is shown, its filters, and how it is kept up to date.

import { ask, counted, el, shown, time, value } from "./dom.js";
import { chainPage, overview, recordsPage } from "./overview.js";
import { recordPage } from "./record.js";
import { address, filters, go, join } from "./where.js";

const RANGES = [["", "whole log"], ["15m", "last 15 min"], ["1h", "last hour"], ["6h", "last 6 hours"], ["1d", "last day"], ["7d", "last 7 days"],
  ["30d", "last 30 days"]];
const PAGES = [["/", "Overview"], ["/records", "Records"], ["/chain", "Chain"]];
/** How often it is asked whether there is something new. */
const PERIOD = 1000;

const $ = (id) => document.getElementById(id);
let live = true;
let status = null;
let seen = -1;
let page = null;
let pending = null;
let wrong = "";

function field(name, label, attributes = {}) {
  const now = filters().getAll(name);
  return el("label", { class: "field" }, el("span", {}, label),
    el("input", { name, value: now.at(-1) ?? "", autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...attributes }));
}

function choice(name, label, options) {
  const now = filters().getAll(name).at(-1) ?? "";
  if (now && !options.some(([known]) => known === now)) options = [...options, [now, now]];
  return el("label", { class: "field" }, el("span", {}, label),
    el("select", { name }, options.map(([one, text]) => el("option", { value: one, selected: one === now }, text))));
}

function drawFilters() {
  const form = $("filters");
  const now = filters();
  const regions = [["", "any"], ...(status?.regions ?? []).map((region) => [region, region || "(none)"])].filter(([one], at) => one || !at);
  const more = ["method", "host", "client", "digest", "trace", "id", "kind", "since", "until"];
  const opened = form.querySelector("details.more")?.open ?? more.some((name) => now.has(name));
  const shownAll = form.querySelector("details.all")?.open ?? !matchMedia("(max-width: 46rem)").matches;
  const chips = [...now].map(([name, one]) => el("a", { class: "chip", href: without(name, one), title: "take this filter away" },
    el("span", {}, name), " ", value(one), el("b", { "aria-hidden": "true" }, "×")));
  form.replaceChildren(
    el("details", { class: "all", open: shownAll },
      el("summary", {}, "Filters", now.size ? ` (${now.size})` : ""),
      el("div", { class: "fields" },
        choice("last", "Time", RANGES),
        choice("decision", "Decision", [["", "any"], ["allow", "allowed"], ["deny", "denied"]]),
        field("reason", "Reason", { placeholder: "jwt, policy.forbid" }),
        field("principal", "Principal", { placeholder: "corp/alice" }),
        field("path", "Path and below", { placeholder: "/api/admin" }),
        field("policy", "Policy", { placeholder: "id" }),
        field("status", "Status", { placeholder: "403, 5xx" }),
        choice("region", "Region", regions),
        el("div", { class: "field act" }, el("button", { type: "submit" }, "Apply"))),
      el("details", { class: "more", open: opened },
        el("summary", {}, "More"),
        el("div", { class: "fields" },
          field("method", "Method"), field("host", "Host"), field("client", "Client"),
          field("digest", "Policy digest", { placeholder: "how it begins" }), field("trace", "Trace"), field("id", "Decision id"),
          choice("kind", "Kind", [["", "as usual"], ["decision", "decision"], ["outcome", "outcome"], ["checkpoint", "checkpoint"],
            ["dropped", "dropped"], ["any", "any"]]),
          choice("fault", "Finding", [["", "any or none"], ["any", "any"], ["altered", "altered"], ["reordered", "reordered"],
            ["duplicated", "duplicated"], ["foreign", "foreign"], ["unsigned", "unsigned"]]),
          field("since", "From", { placeholder: "2026-03-01T09:30:00Z" }), field("until", "Before", { placeholder: "2026-03-01T10:30:00Z" })))),
    chips.length ? el("div", { class: "chips" }, chips, el("a", { class: "clear", href: location.pathname }, "Clear all")) : "");
}

function without(name, one) {
  const query = new URLSearchParams();
  for (const [known, other] of filters()) if (known !== name || other !== one) query.append(known, other);
  return join(location.pathname, query);
}

function drawNav() {
  $("nav").replaceChildren(...PAGES.map(([path, label]) =>
    el("a", { href: address(path), "aria-current": path === location.pathname ? "page" : null }, label)));
  $("live").hidden = location.pathname === "/record";
  $("filters").hidden = location.pathname === "/record" || location.pathname === "/chain";
}

function drawStatus() {
  const pill = $("chain");
  const chain = status.chain;
  const state = !chain ? "unknown" : chain.broken ? "broken" : !status.caught_up ? "reading" : "intact";
  pill.className = `pill ${state}`;
  pill.replaceChildren(el("i", { "aria-hidden": "true" }), { unknown: "Chain not verified", broken: "Chain broken", reading: "Verifying…",
    intact: "Chain intact" }[state]);
  const part = status.bytes_in_all ? Math.min(99, Math.floor((status.bytes / status.bytes_in_all) * 100)) : 0;
  const notes = [];
  if (!status.caught_up) notes.push(`reading, ${part} % so far`);
  if (status.malformed) notes.push(`${counted(status.malformed, "line")} could not be read as a record`);
  if (status.passed) notes.push(`${counted(status.passed, "other line")} passed over`);
  if (status.lost) notes.push(`the log says that ${counted(status.lost, "record")} ${status.lost === 1 ? "was" : "were"} lost`);
  const names = [...new Set(status.sources)];
  const logs = names.length > 3 ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more` : names.join(", ");
  $("log").replaceChildren(value(logs), ` · ${counted(status.records, "record")}`,
    status.newest === null ? "" : ` · newest ${time(status.newest, false)} UTC`, ...notes.map((note) => el("span", { class: "note" }, note)));
  say();
}

/** Says what went wrong: with the logs, and with this page. */
function say() {
  const text = [...(status?.problems ?? []), wrong].filter(Boolean).join("; ");
  if ($("told").textContent !== shown(text)) $("told").textContent = shown(text);
  $("told").hidden = !text;
}

/** Draws the page of the address. */
async function show() {
  pending?.abort();
  const here = (pending = new AbortController());
  drawNav();
  drawFilters();
  const make = { "/": overview, "/records": recordsPage, "/chain": chainPage, "/record": recordPage }[location.pathname];
  page = make({ filters: filters(), status: () => status, signal: here.signal });
  $("main").replaceChildren(page.element);
  document.title = `${page.title} – Cedargate audit`;
  await refresh(here);
}

async function refresh(here = pending) {
  let lines = status?.lines ?? -1;
  try {
    // What a page puts off, it is asked for again.
    if ((await page.refresh()) === false) lines = -1;
    wrong = "";
  } catch (error) {
    if (error.name === "AbortError") return;
    wrong = error.message;
  }
  if (here !== pending) return;
  seen = lines;
  say();
}

async function tick() {
  try {
    if (!document.hidden) {
      const before = status;
      status = await ask("/api/status");
      drawStatus();
      if (!before || String(before.regions) !== String(status.regions)) {
        if (!$("filters").contains(document.activeElement)) drawFilters();
      }
      if (live && page.live && (status.lines !== seen || before?.caught_up !== status.caught_up)) await refresh();
    }
  } catch {
    wrong = "The console does not answer: has it ended?";
    seen = -1;
    say();
  }
  setTimeout(tick, PERIOD);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const to = link.getAttribute("href");
  if (!to.startsWith("/") || to.startsWith("/metrics") || to.startsWith("/api")) return;
  event.preventDefault();
  go(to);
  window.scrollTo(0, 0);
  // Where the reader was is gone: they go on at the top of the new page.
  $("main").focus({ preventScroll: true });
});

$("filters").addEventListener("submit", (event) => {
  event.preventDefault();
  apply();
});
$("filters").addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) apply();
});

function apply() {
  const query = new URLSearchParams();
  const kept = filters();
  for (const [name, text] of new FormData($("filters"))) {
    const now = text.trim();
    // What is repeated in the address has one field; it stays as it is unless the field was changed.
    const before = kept.getAll(name);
    const all = before.at(-1) === now ? before : [now];
    for (const one of all) if (one !== "") query.append(name, one);
  }
  const focused = document.activeElement?.name;
  go(join(location.pathname, query));
  if (focused) $("filters").elements[focused]?.focus();
}

$("live").addEventListener("click", () => {
  live = !live;
  $("live").setAttribute("aria-pressed", String(live));
  $("live").querySelector("span").textContent = live ? "Live" : "Paused";
  if (live) refresh();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    const all = $("filters").querySelector("details.all");
    if (all) all.open = true;
    $("filters").elements.reason?.focus();
  } else if (event.key === "p") $("live").click();
});
addEventListener("popstate", show);
addEventListener("moved", show);
document.querySelector(".foot").append("Read-only, on this machine alone. ", el("a", { href: "/metrics" }, "Prometheus metrics"),
  el("span", { class: "keys" }, " · keys: ", el("kbd", {}, "/"), " filters, ", el("kbd", {}, "p"), " pause"));

await show();
tick();

// What a browser makes of `cedargate audit serve`: node console.mjs path/to/cedargate (docs/testing.md says what it needs).
// Hostile logs, light and dark, phone width, keyboard alone; nothing may run, leave the machine or be wider than the screen.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const command = process.argv[2] ?? "cedargate";
const HOSTILE = `<img src=x onerror=alert(1)>"'</script><script>alert(2)</script>\u202e`;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "console-"));
const log = path.join(folder, "log.jsonl");
fs.mkdirSync("shots", { recursive: true });

function record(at, more = {}) {
  const denied = at % 5 === 0;
  return JSON.stringify({
    v: 1, kind: "decision", time: new Date(Date.UTC(2026, 10, 25, 20) + at * 2000).toISOString(), region: ["fra-1", "iad-2"][at % 2],
    decision: denied ? "deny" : "allow", reason: denied ? "jwt.expired" : "policy.permit", status: denied ? 401 : 200,
    policy_digest: at < 900 ? "a1".repeat(32) : "b2".repeat(32), policies: denied ? [] : [{ id: "documents.owner", reason: "owners may", owner: "team", control: "CC6.1" }],
    credentials: [{ kind: "token", fate: denied ? "refused" : "verified", ...(denied ? { reason: "jwt.expired" } : {}) }],
    cedar: { principal: `Gate::User::"corp/u${at % 40}"`, action: "read", resource: "x" }, identity: { subject: "alice", email: "h:abc" },
    masked: ["identity.email"], request: { method: "GET", host: "api.example.com", path: `/api/documents/${at % 90}`, client: "203.0.113.7" },
    timing_us: { identity: 10, policy: 20, total: 800 + (at % 100) * 40 }, decision_id: `id-${at}`, trace_id: `trace-${at}`, ...more,
  });
}

const hostile = record(1801, {
  decision: "deny", reason: HOSTILE, detail: HOSTILE, region: HOSTILE, policy_digest: HOSTILE, decision_id: "hostile", trace_id: HOSTILE, change: HOSTILE,
  policies: [{ id: HOSTILE, reason: HOSTILE, owner: HOSTILE, control: "javascript:alert(3)" }], errors: [HOSTILE],
  credentials: [{ kind: HOSTILE, fate: HOSTILE, reason: HOSTILE, detail: HOSTILE }], cedar: { principal: `Gate::User::"${HOSTILE}"`, action: HOSTILE, resource: HOSTILE },
  identity: { subject: HOSTILE, groups: [HOSTILE] }, request: { method: HOSTILE, host: HOSTILE, path: `/${HOSTILE}`, client: HOSTILE }, [HOSTILE]: { [HOSTILE]: [HOSTILE] },
});
fs.writeFileSync(log, `${Array.from({ length: 1800 }, (_, at) => record(at)).join("\n")}\n${hostile}\n`);
const keys = path.join(folder, "keys.json");
fs.writeFileSync(keys, JSON.stringify({ v: 1, keys: [{ id: "a1", algorithm: "HMAC-SHA-256", state: "active", secret: Buffer.alloc(32, 9).toString("base64url") }] }));

const consoles = [];
async function serve(...args) {
  const child = spawn(command, ["audit", "serve", "--port", "0", log, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  consoles.push(child);
  let said = "";
  for await (const chunk of child.stderr) {
    said += chunk;
    const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
    if (found && said.includes("\n")) return found[0];
  }
  throw new Error(`it does not serve: ${said}`);
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
const problems = [];
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

async function open(name, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(`${name}: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`${name}: ${error.message}`));
  page.on("dialog", (dialog) => {
    problems.push(`${name}: a script of a record ran: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => request.url().startsWith(new URL(address).origin) || problems.push(`${name}: asked ${request.url()}`));
  await page.goto(address);
  await page.locator("main :is(.tile, tbody tr, .band)").first().waitFor();
  return page;
}

async function check(name, page) {
  const found = await page.evaluate(() => ({
    markup: document.querySelectorAll("main img, main script, main iframe, [onerror]").length,
    wide: Math.max(0, document.documentElement.scrollWidth - screen.width, document.documentElement.scrollWidth - innerWidth),
    turned: document.body.textContent.includes("\u202e"),
  }));
  assert.deepEqual(found, { markup: 0, wide: 0, turned: false }, name);
  await page.screenshot({ path: `shots/${name}.png`, fullPage: true });
}

try {
  const base = await serve();
  for (const [kind, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["phone", phone]]) {
    for (const [name, address] of [["overview", "/"], ["records", "/records"], ["hostile", "/record?id=hostile"], ["chain", "/chain"]]) {
      const page = await open(`${name}-${kind}`, base + address, options);
      await check(`${name}-${kind}`, page);
      await page.context().close();
    }
  }

  // Filters are in the address, and only there.
  const filtered = await open("filtered", `${base}/records?decision=deny&principal=corp/u5`);
  assert.equal(await filtered.locator(".chip").count(), 2);
  assert.equal(await filtered.locator("tbody tr").count(), 45);
  assert.equal(await filtered.locator("tbody tr.allow").count(), 0);
  await filtered.locator('input[name="path"]').fill("/api/documents/5");
  await filtered.keyboard.press("Enter");
  await filtered.waitForURL(/path=%2Fapi%2Fdocuments%2F5/);
  await filtered.goBack();
  assert.equal(await filtered.locator('input[name="path"]').inputValue(), "");

  // What is added comes by itself.
  await filtered.goto(`${base}/records`);
  fs.appendFileSync(log, `${record(1900, { decision_id: "late", policies: [{ id: "late.policy" }] })}\n`);
  await filtered.locator("td.policies", { hasText: "late.policy" }).waitFor();

  // By keyboard alone: to a chart, a part of it, and into a record.
  const keyed = await open("keyboard", base);
  const focus = () => keyed.evaluate(() => document.activeElement.closest("a, button, input, select, summary, svg")?.outerHTML.slice(0, 60) ?? "");
  for (let at = 0; !(await focus()).startsWith("<svg") && at < 60; at += 1) await keyed.keyboard.press("Tab");
  assert.match(await focus(), /<svg class="chart"/);
  for (const key of ["Home", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"]) await keyed.keyboard.press(key);
  assert.match(await keyed.locator(".readout").first().textContent(), /allowed/);
  await keyed.screenshot({ path: "shots/keyboard.png" });
  await keyed.keyboard.press("Enter");
  await keyed.waitForURL(/since=.*until=/);
  await keyed.goto(`${base}/records?id=id-10`);
  await keyed.locator("tbody a").first().focus();
  await keyed.keyboard.press("Enter");
  await keyed.waitForURL(/record\?n=/);
  await keyed.locator("h1", { hasText: "Denied" }).waitFor();
  assert.equal(await keyed.locator(".mark", { hasText: "masked" }).count(), 1);

  // Nothing in this log has a MAC: with a keyring that is a broken chain.
  const broken = await open("broken", `${await serve("--keyring", keys)}/chain`);
  await broken.locator(".band.broken").waitFor();
  assert.match(await broken.locator(".band.broken").textContent(), /unsigned/);
  await check("broken", broken);
  assert.deepEqual(problems, []);
  console.log("the console is as it should be; pictures are in ./shots");
} finally {
  await browser.close();
  for (const child of consoles) child.kill("SIGINT");
  fs.rmSync(folder, { recursive: true });
}

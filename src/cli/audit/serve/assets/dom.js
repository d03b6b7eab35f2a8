// Elements, text and numbers. SECURITY: whatever comes out of a record becomes a text node or the value of an attribute, never markup.

const HIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/g;
const SVG = "http://www.w3.org/2000/svg";

/** Text in which nothing hides: controls and direction marks are spelled out. */
export const shown = (text) => String(text).replace(HIDDEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

/** An element. `on` holds listeners; addresses lead nowhere but to this console. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "href" && !/^[/?#](?!\/)/.test(value)) {
      throw new Error("an address that leads away");
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(shown(child)))));
  return element;
}

/** Text of this command's own, where `this` is code. */
export const prose = (text) => text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));

/** A value of a record: kept apart from what stands around it, whatever its direction. */
export const value = (text, attributes = {}) => el("bdi", { class: "value", ...attributes }, text);

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (number) => whole.format(number);
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A share, never rounded to nothing or to everything. */
export function percent(part, all) {
  if (!all) return "–";
  const share = (part / all) * 100;
  if (share === 0) return "0 %";
  if (share < 0.01) return "< 0.01 %";
  if (share > 99.99 && part < all) return "> 99.99 %";
  return `${share.toFixed(share < 1 ? 2 : share < 10 ? 1 : 0)} %`;
}

/** Microseconds in the unit that suits them. */
export function micros(time) {
  if (time === null || time === undefined) return "–";
  if (time < 1000) return `${time} µs`;
  if (time < 1e6) return `${digits(time / 1000)} ms`;
  return `${digits(time / 1e6)} s`;
}
const digits = (number) => number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);

/** A time in UTC. */
export function time(millis, withMillis = true) {
  const date = new Date(millis);
  if (Number.isNaN(date.getTime())) return "–";
  const text = date.toISOString().replace("T", " ").replace("Z", "");
  return withMillis ? text : text.slice(0, -4);
}

/** The length of a step. */
export function step(millis) {
  const units = [[86400000, "day"], [3600000, "hour"], [60000, "minute"], [1000, "second"]];
  const [length, name] = units.find(([length]) => millis >= length && millis % length === 0) ?? [1000, "second"];
  return counted(millis / length, name);
}

/** A length of time, roughly. */
export function span(millis) {
  const units = [[86400000, "day"], [3600000, "hour"], [60000, "minute"], [1000, "second"]];
  const [length, name] = units.find(([length]) => millis >= 2 * length) ?? [1000, "second"];
  return counted(Math.round(millis / length), name);
}

/** Type and id of an entity as records write it. */
export function entity(name) {
  const match = /^(.*?)::"(.*)"$/s.exec(name);
  return match ? { type: match[1].replace(/^Gate::/, ""), id: match[2] } : { type: "", id: name };
}

export async function ask(path, signal) {
  const answer = await fetch(path, { signal, headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({ error: `the console answered ${answer.status}` }));
  if (!answer.ok) throw Object.assign(new Error(body.error ?? "there is no answer"), { status: answer.status });
  return body;
}

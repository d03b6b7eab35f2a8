// The address of a page: its filters are there and nowhere else.

export const FIELDS = ["last", "decision", "reason", "principal", "path", "policy", "status", "region", "method", "host", "client", "digest",
  "trace", "id", "kind", "fault", "since", "until"];

/** The filters of the address, without what is not one. */
export function filters() {
  const all = new URLSearchParams(location.search);
  const kept = new URLSearchParams();
  for (const name of FIELDS) for (const one of all.getAll(name)) if (one !== "") kept.append(name, one);
  return kept;
}

/** A path with a query, if there is one. */
export function join(path, query) {
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** The address of a page with these filters changed; `null` takes one away. */
export function address(path, changes = {}) {
  // A record's own name is no filter of other pages.
  const query = location.pathname === "/record" ? new URLSearchParams() : filters();
  for (const [name, to] of Object.entries(changes)) {
    query.delete(name);
    if (to !== null && to !== "") query.append(name, to);
  }
  return join(path, query);
}

/** Goes there, as following a link does. */
export function go(to) {
  history.pushState(null, "", to);
  dispatchEvent(new Event("moved"));
}

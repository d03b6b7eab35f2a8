# `serve` puts the embedded files beside this one, and names the addresses.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "gate", worker = .gate),
    (name = "origin", external = (address = "127.0.0.1", http = ())),
  ],
  sockets = [(name = "http", http = (), service = "gate")],
);

const gate :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  modules = [
    (name = "worker", esModule = embed "worker.js"),
    (name = "cedar_wasm_bg.wasm", wasm = embed "cedar_wasm_bg.wasm"),
  ],
  bindings = [
    (name = "ORIGIN", service = "origin"),
    (name = "ISSUER", fromEnvironment = "ISSUER"),
    (name = "AUDIENCE", fromEnvironment = "AUDIENCE"),
    # How many verified tokens are remembered; 0: none.
    (name = "CACHED_TOKENS", fromEnvironment = "CACHED_TOKENS"),
    (name = "JWKS", json = embed "jwks.json"),
    (name = "POLICIES", text = embed "policies.cedar"),
    (name = "SCHEMA", text = embed "policies.cedarschema"),
  ],
  # It may talk to the origin and to nobody else.
  globalOutbound = "origin",
);

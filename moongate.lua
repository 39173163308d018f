-- SPDX-License-Identifier: MIT
--
-- The config of this moongate. Everything has a default, so each line here can go. Check what you write with
-- `moongate check`: it names the file, the line and the field.

return {
  routes = "routes", -- the directory whose *.lua files say what listens where, and what happens to connections
  workers = "auto", -- threads that carry traffic: a number, or one a core

  -- The admin interface: /metrics, /healthz, /readyz, /api/v1/status. Without it: admin = { listen = false };
  -- `moongate status` works all the same.
  admin = { listen = "127.0.0.1:9090" },

  log = { level = "info", format = "logfmt" },

  -- For all routes; a route may have `timeouts` of its own. false or 0: no limit.
  timeouts = {
    connect = "30s", -- for a target to accept
    idle = "4h", -- without a byte either way
    shutdown = "30s", -- for connections to finish when moongate is told to stop
  },
}

-- SPDX-License-Identifier: MIT
--
-- Ranges of ports, each forwarded to the same port of another machine, such as game servers or passive FTP.
--
-- Try it: nc -l -p 8103 on the target, then nc THIS-MACHINE 8103

local route = moongate.route

return {
  -- The target names no port, so a connection keeps the one that it came in on.
  route.ports("8100-8104", "10.0.0.5", { name = "games" }),

  -- The same, written out, for ports here and there, on two machines that take turns.
  {
    name = "lobbies",
    match = { ports = { 8200, "8202-8203" } },
    action = { targets = { { host = "10.0.0.5", port = "preserve" }, { host = "10.0.0.6", port = "preserve" } } },
  },

  -- Ports that are shifted: 8300 to 8304 here are 9300 to 9304 there.
  {
    name = "shifted",
    match = { ports = "8300-8304" },
    action = {
      target = {
        host = "10.0.0.5",
        port = function(context)
          return context.port + 1000
        end,
      },
    },
  },
}

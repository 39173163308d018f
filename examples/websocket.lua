-- SPDX-License-Identifier: MIT
--
-- WebSockets that stay open for days, through TLS that moongate does not open: it sees bytes only, so what keeps such a
-- connection alive is said by the route. A connection whose peer has vanished without a word is found by TCP's
-- keep-alive probes (`tcp` in moongate.lua), whatever stands here.
--
-- Try it: websocat wss://live.example:8443/feed

local route = moongate.route

return {
  -- No idle time, no lifetime: it ends when one of the two ends it.
  route.passthrough("live.example", "127.0.0.1:4441", {
    name = "live",
    ports = 8443,
    keep_alive = "immortal",
  }),

  -- Most of these come and go: six times the config's times, and a line in the log before a quiet one is ended.
  route.passthrough("chat.example", "127.0.0.1:4442", {
    name = "chat",
    ports = 8443,
    keep_alive = "extended",
    timeouts = { idle = "1h" },
  }),

  -- By the client: devices in our own network may stay, others get an hour.
  route.passthrough("devices.example", "127.0.0.1:4443", {
    name = "devices",
    ports = 8443,
    timeouts = { idle = "10m", lifetime = "30m" },
    keep_alive = function(context)
      if context.client_ip:find "^10%." then
        return "immortal"
      end
      return "extended", 2
    end,
  }),
}

---@meta
-- SPDX-License-Identifier: MIT
--
-- A route, for editors: `---@type moongate.Route|moongate.Route[]` above the `return` of a file in routes/.

---@alias moongate.PortRange integer|string|{ from: integer, to: integer }

---@class moongate.Route
---@field name? string Unique; by default "<file>#<index>"
---@field enabled? boolean false: checked, and left out
---@field priority? integer The highest wins (0)
---@field tags? string|string[] For people and tools
---@field description? string For people
---@field match moongate.Route.Match
---@field action moongate.Route.Action
---@field timeouts? moongate.Timeouts Any of the config's, for this route
---@field on_change? "keep"|"drain"|"close" What becomes of its connections when it changes or goes

---@class moongate.Route.Match
---@field ports moongate.PortRange|moongate.PortRange[] 443, { 80, 443 }, "8000-8010", { from = 8000, to = 8010 }; 0: any
---@field address? string The local address to bind; by default all, IPv4 and IPv6
---@field domains? string|string[] Names that the client asks for: "example.com", "*.example.com", any glob
---@field client_ip? string|string[] Where clients come from: "192.0.2.7", "10.0.0.0/8", "192.168.*"
---@field tls_version? moongate.TlsVersion|moongate.TlsVersion[] The highest that the client offers
---@field when? fun(context: moongate.Context): boolean The last word, asked only when the rest matches

---What an action does: exactly one of `target`, `targets` and `handler`.
---@class moongate.Route.Action
---@field target? string|moongate.Route.Target|moongate.TargetFunction "host:port", "unix:/path", { host =, port = }
---@field targets? (string|moongate.Route.WeightedTarget)[] Several, taken in turn
---@field port? integer|"preserve"|moongate.PortFunction Of targets without one
---@field balance? "round-robin" How one of several targets is chosen
---@field protocol? "tcp"|"auto" What is spoken
---@field engine? "userspace" Who moves the bytes
---@field tls? moongate.Route.Tls|false What is done with TLS; by default plain connections only
---@field half_open? boolean Either side may end while the other sends
---@field handler? fun(socket: moongate.Socket, context: moongate.Context) Instead of forwarding

---@alias moongate.TlsVersion "1.0"|"1.1"|"1.2"|"1.3"

---@class moongate.Route.Tls
---@field mode "passthrough" TLS is forwarded as it is, byte for byte

---@alias moongate.TargetFunction fun(context: moongate.Context): string, integer?
---@alias moongate.PortFunction fun(context: moongate.Context): integer
---@alias moongate.HostFunction fun(context: moongate.Context): string

---@class moongate.Route.Target
---@field host string|string[]|moongate.HostFunction
---@field port? integer|"preserve"|moongate.PortFunction "preserve": the port that the client came in on

---@class moongate.Route.WeightedTarget : moongate.Route.Target
---@field weight? integer 1 to 256

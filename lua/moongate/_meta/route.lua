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

---@alias moongate.To string|moongate.Route.Target|moongate.TargetFunction|(string|moongate.Route.WeightedTarget)[]

---Any field of a route, merged key by key into the one that is made; `ports` is match.ports.
---@class moongate.RouteOptions : moongate.Route
---@field match? moongate.Route.Match
---@field action? moongate.Route.Action
---@field ports? moongate.PortRange|moongate.PortRange[]

--- The common routes. Each helper returns a plain route table.
---@class moongate.route
local route = {}

--- TLS connections that ask for one of the domains, forwarded as they are. Port 443, unless the options have `ports`.
---@param domains string|string[]
---@param to moongate.To
---@param options? moongate.RouteOptions
---@return moongate.Route
function route.passthrough(domains, to, options) end

--- Whatever arrives at the ports. A target that names no port keeps the one that the client came in on.
---@param ports moongate.PortRange|moongate.PortRange[]
---@param to moongate.To
---@param options? moongate.RouteOptions
---@return moongate.Route
function route.ports(ports, to, options) end

--- Several targets in turn: TLS connections that ask for one of the domains (port 443, unless the options have `ports`),
--- or, without domains, whatever arrives at the `ports` of the options.
---@param domains string|string[]|nil
---@param targets (string|moongate.Route.WeightedTarget)[]
---@param options? moongate.RouteOptions
---@return moongate.Route
function route.balance(domains, targets, options) end

--- Connections for a function. With domains it needs options.action.tls, and sees the bytes of TLS.
---@param domains string|string[]|nil
---@param ports moongate.PortRange|moongate.PortRange[]
---@param fn moongate.Handler
---@param options? moongate.RouteOptions
---@return moongate.Route
function route.handler(domains, ports, fn, options) end

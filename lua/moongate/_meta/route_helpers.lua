---@meta
-- SPDX-License-Identifier: MIT
--
-- moongate.route, the helpers that make the common routes. What a route is made of is in _meta/route.lua.

---@alias moongate.To string|moongate.Target|moongate.TargetFunction|(string|moongate.WeightedTarget)[]

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
---@param targets (string|moongate.WeightedTarget)[]
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

return route

---@meta
-- SPDX-License-Identifier: MIT

--- The peer that has sent the PROXY header.
---@class moongate.Context.Proxy
---@field ip string
---@field port integer
---@field tlvs table<integer, string> of a header of version 2, by type

--- What a handler or another function of a route is told about the connection. A fresh table for each call.
---@class moongate.Context
---@field connection_id string as logs and the API name it: "worker-number"
---@field client_ip string "" for a client on a unix socket
---@field client_port integer
---@field port integer the one it came in on
---@field domain? string the server_name of a TLS client, lower case, without a trailing dot; nil: it named none
---@field tls_version? "1.0"|"1.1"|"1.2"|"1.3" the highest that a TLS client offers
---@field alpn? string[] the protocols that a TLS client offers, in its order
---@field route string its name
---@field time number seconds since the epoch
---@field proxy? moongate.Context.Proxy when the connection came with a PROXY header: client_ip is the one that it names
local Context = {}

--- Hands the client to native forwarding, as a route with that target would: "host:port", "unix:/path", { host =,
--- port = }, or host, port. What was read and not taken yet goes first. Does not return: the handler is over, and
--- what it spawned. Only in the handler itself, before it has closed the socket. Raises when the target is none.
---@param target string|{ host: string, port: integer }
---@param port? integer
function Context:forward(target, port) end

return Context

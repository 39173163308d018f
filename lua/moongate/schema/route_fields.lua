-- SPDX-License-Identifier: MIT
--
-- The schema of a route. What a descriptor may have is in lua/moongate/schema.lua.

local declare = require("moongate.schema.declare")

local addresses, strings, timeouts, unsupported =
  declare.addresses, declare.strings, declare.timeouts, declare.unsupported

local function route_timeouts()
  local fields = timeouts()
  for name, descriptor in pairs(fields) do
    descriptor.inherited = name
  end
  return fields
end

local NOT_READ = "passthrough reads nothing but the names that the client asks for (remove it)"

local tls = {
  mode = {
    type = "string",
    required = 'write tls = { mode = "passthrough" }',
    enum = { "passthrough" },
    enum_later = { "terminate", "terminate-and-reencrypt" },
    doc = "passthrough: TLS is forwarded as it is, byte for byte",
  },
  certificate = unsupported("What moongate shows to clients", NOT_READ),
  acme = unsupported("Certificates by ACME", NOT_READ),
  min_version = unsupported("The lowest version that is spoken", "match.tls_version chooses by what the client offers"),
  ciphers = unsupported("The ciphers that are spoken", NOT_READ),
  alpn = unsupported("The protocols that are offered", NOT_READ),
  client_ca = unsupported("Who signs the certificates of clients", NOT_READ),
  verify = unsupported("Whether targets are verified", NOT_READ),
  server_name = unsupported("The name that targets are asked for", "the client's name goes to the target (remove it)"),
  ca = unsupported("Who signs the certificates of targets", NOT_READ),
}

return {
  type = "table",
  kind = "route",
  doc = "A route",
  fields = {
    name = { type = "string", max = 200, doc = 'Unique; by default "<file>#<index>"' },
    enabled = { type = "boolean", default = true, c = false, doc = "false: checked, and left out" },
    priority = { type = "integer", default = 0, min = -2 ^ 31, max = 2 ^ 31 - 1, doc = "The highest wins" },
    tags = strings({}, "For people and tools"),
    description = { type = "string", default = "", empty = true, max = 65536, doc = "For people" },
    match = {
      type = "table",
      doc = "Which connections it takes",
      example = "such as match = { ports = 443 }",
      fields = {
        address = { type = "address", c = false, doc = "The local address to bind; by default all, IPv4 and IPv6" },
        ports = {
          type = "ports",
          c = false,
          required = 'say on which ports it listens, such as ports = 443 or { 80, "8000-8010" }',
          doc = "The ports to listen on; 0: one that the kernel chooses",
        },
        when = {
          type = "function",
          c = "when_function",
          doc = "function(context): the last word, asked only when the rest matches",
        },
        domains = {
          type = "domains",
          c = "domains",
          doc = "The names that the client may ask for, globs, compared without case; by default any, and none",
        },
        client_ip = {
          type = "client_ips",
          c = "client_ips",
          doc = "Where clients come from: addresses, CIDRs, globs; by default anywhere",
        },
        tls_version = {
          type = "tls_versions",
          c = "tls_versions",
          doc = "The version of TLS, as the client offers it; by default any",
        },
        path = unsupported("The path of a request", "it needs HTTP, which this version does not read (remove it)"),
        headers = unsupported("Headers of a request", "they need HTTP, which this version does not read (remove it)"),
      },
    },
    action = {
      type = "table",
      always = true,
      doc = "What is done with them",
      example = 'such as action = { target = "host:port" }',
      fields = {
        target = {
          type = "target",
          c = false,
          doc = '"host:port", "unix:/path", { host =, port = }, or function(context) that returns host, port',
        },
        targets = {
          type = "targets",
          c = false,
          doc = "Several, taken in turn: { host =, port =, weight = 1 to 256 }",
        },
        port = {
          type = "target_port",
          c = false,
          doc = 'Of targets without one: a number, "preserve" or function(context)',
        },
        balance = {
          type = "balance",
          c = "balance",
          default = "round-robin",
          enum = { "round-robin", "least-connections", "source-hash" },
          doc = 'How one of several targets is chosen: "round-robin", "least-connections", "source-hash" or '
            .. "function(context, targets) that returns an index",
        },
        protocol = {
          type = "string",
          default = "auto",
          c = false,
          enum = { "tcp", "auto" },
          enum_later = { "http" },
          doc = "What is spoken",
        },
        engine = {
          type = "string",
          default = "userspace",
          c = "engine",
          enum = { "userspace" },
          enum_later = { "nftables" },
          doc = "Who moves the bytes",
        },
        half_open = {
          type = "boolean",
          default = false,
          c = "half_open",
          doc = "Either side may end while the other sends",
        },
        handler = {
          type = "handler",
          c = "handler_function",
          doc = "function(socket, context), instead of forwarding",
        },
        nftables = unsupported("Forwarding in the kernel"),
        fallback = unsupported("Where the kernel can't"),
        tls = {
          type = "tls",
          c = false,
          doc = "What is done with TLS; by default plain connections only; false: likewise, whatever the defaults say",
          fields = tls,
        },
        send_proxy_protocol = {
          type = "proxy_send",
          c = "proxy_send",
          doc = "A PROXY header before the client's bytes: true (version 1), 1, 2, "
            .. "{ version = 2, tlvs = { [0xEA] = … } }; by default the config's proxy_protocol.send",
        },
        strip_prefix = unsupported("Of the path"),
        rewrite = unsupported("Of the path"),
        headers = unsupported("Headers that are set or removed"),
        websocket = unsupported("WebSocket", "plain TCP forwarding carries it (remove it)"),
        on_request = unsupported("A hook for requests"),
        on_response = unsupported("A hook for responses"),
      },
      -- Of the normal form, made by schema/routes.lua.
      derived = {
        balance_function = { type = "function", c = "balance_function" },
        target_function = { type = "function", c = "target_function" },
      },
    },
    security = {
      type = "table",
      doc = "Who may use the route; looked at once it was chosen",
      example = 'such as security = { ip_allow = "10.0.0.0/8" }',
      fields = {
        ip_allow = addresses("Addresses that may use it; empty: all", { c = "security.allow" }),
        ip_block = addresses("Addresses that may not; wins over ip_allow", { c = "security.block" }),
        max_connections = { type = "integer", default = 0, min = 0, off = true, doc = "Open at once; 0: no limit" },
        max_connections_per_ip = {
          type = "integer",
          min = 0,
          off = true,
          c = "security.limits.connections",
          doc = "Open at once of one address; by default limits.connections_per_ip; 0: no limit",
        },
        connection_rate = {
          type = "count_in_window",
          c = "security.limits.rate",
          doc = "New ones of one address in a window; by default limits.connection_rate; false: no limit",
        },
        authorize = {
          type = "function",
          c = "security.authorize_function",
          doc = "function(context): false or nil refuses; may wait",
        },
        rate_limit = unsupported("Requests in a window", "plain TCP has no requests: set connection_rate"),
        basic_auth = unsupported("Passwords", "plain TCP carries none (remove it)"),
        jwt = unsupported("Tokens", "plain TCP carries none (remove it)"),
      },
    },
    keep_alive = {
      type = "keep_alive",
      doc = 'How quiet connections are treated: "standard", "extended", "immortal", { treatment =, multiplier = } or '
        .. "function(context) that returns both; by default the config's",
    },
    timeouts = {
      type = "table",
      doc = "Any of the config's, for this route",
      example = 'such as timeouts = { idle = "10m" }',
      fields = route_timeouts(),
    },
    on_change = {
      type = "string",
      default = "keep",
      enum = { "keep", "drain", "close" },
      doc = "What becomes of its connections when it changes or goes",
    },
  },
}

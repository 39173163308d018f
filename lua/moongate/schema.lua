-- SPDX-License-Identifier: MIT
--
-- The one schema of the config and of routes: every field with its type, its default, its bounds and a line of
-- documentation. It only declares; schema/check.lua and schema/types.lua say what the types accept.
--
-- `./dev docs` writes docs/reference.md and the annotations of lua/moongate/_meta/ from it: run it after a change.
--
-- A descriptor: type; default (as a user would write it); required (what to write, when it is missing); always (of a
-- table of which nothing is required by itself); doc; since (a version); fields
-- (of a table); of (of a list); enum, words, min, max, off (what bounds the type); shared (of a table: nobody changes
-- its normal form, so one stands for all defaults); later: "warn" or "refuse", for a field that is accepted, and has
-- its effect in a later version only.

local schema = {}

local function later(how, fields)
  for _, descriptor in pairs(fields) do
    descriptor.later = how
    if descriptor.fields then
      later(how, descriptor.fields)
    end
  end
  return fields
end

local function duration(default, doc, min)
  return { type = "duration", default = default, min = min, doc = doc }
end

local function unsupported(doc, instead)
  return { type = "unsupported", doc = doc, instead = instead }
end

local function timeouts()
  return {
    connect = duration("30s", "For a target to accept, its name's lookup included"),
    initial_data = duration("60s", "For a client's first byte, where a route can't be chosen or served without it"),
    idle = duration("4h", "Without a byte in either direction"),
    lifetime = duration("24h", "Of a connection, whatever it does"),
    half_closed = duration("30m", "After one side has ended, with half_open"),
    linger = duration("5s", "For a closing client to take what was sent, without progress"),
    shutdown = duration("30s", "For connections to finish when moongate stops"),
    half_dead = {
      type = "duration_pair",
      default = { "30s", tls = "5m" },
      doc = "One side has ended, and no byte moves",
    },
    stuck = {
      type = "duration_pair",
      default = { "60s", tls = "5m" },
      doc = "The client has sent bytes that the target has never answered, and none has moved since",
    },
  }
end

local function strings(default, doc)
  return { type = "list", of = { type = "string" }, default = default, doc = doc }
end

local function addresses(doc, trusted)
  return { type = "list", of = { type = "ip_pattern", trusted = trusted }, default = {}, doc = doc }
end

local limits = {
  connections = { type = "integer", default = 0, min = 0, off = true, doc = "Open connections in all; 0: no limit" },
  connections_per_ip = {
    type = "integer",
    default = 100,
    min = 0,
    off = true,
    doc = "Open connections of one address; not of loopback and trusted proxies; 0: no limit",
  },
  connection_rate = {
    type = "count_in_window",
    default = { 300, "60s" },
    doc = "New connections of one address in a window, likewise; false: no limit",
  },
  idle_near_cap = duration(
    "30s",
    "Quiet for so long, a connection is closed early when `connections` is nearly reached; 0: off"
  ),
  block_for = duration(0, "How long an address over its limit is refused"),
  ipv6_prefix = {
    type = "integer",
    default = 64,
    min = 1,
    max = 128,
    doc = "Bits of an IPv6 address that stand for one client",
  },
  addresses = {
    type = "integer",
    default = 65536,
    min = 1024,
    max = 16777216,
    doc = "Addresses that are remembered for these limits",
  },
  script_time = duration("1s", "Uninterrupted running of Lua before the watchdog ends it; 0: no watchdog"),
  load_time = duration(
    "10s",
    "Loading one file, for all workers together, also while it waits for the kernel; then it is at fault",
    100
  ),
  script_memory = {
    type = "size",
    default = "256m",
    min = 1024 * 1024,
    off = true,
    doc = "For each Lua state; 0: no limit",
  },
  old_versions = {
    type = "integer",
    default = 32,
    min = 1,
    max = 4096,
    doc = "Old versions of files that may live on",
  },
  shared_dictionaries = {
    type = "integer",
    default = 64,
    min = 0,
    max = 4096,
    doc = "Dictionaries of moongate.shared that scripts may make",
  },
  shared_memory = {
    type = "size",
    default = "16m",
    min = 64 * 1024,
    doc = "What each dictionary of moongate.shared may hold",
  },
  metric_series = {
    type = "integer",
    default = 10000,
    min = 0,
    max = 1000000,
    doc = "Series of the metrics that scripts make, in all",
  },
  timers = {
    type = "integer",
    default = 1000,
    min = 1,
    max = 1000000,
    doc = "Timers that a route file may have at once, in each worker",
  },
  open_files = {
    type = "integer",
    default = 256,
    min = 1,
    max = 1000000,
    doc = "Files that the functions of a route file may have open at once, in each worker",
  },
  log_lines = {
    type = "integer",
    default = 100,
    min = 0,
    max = 1000000,
    off = true,
    doc = "Lines a second that a route file may log, in each worker, beyond a burst of ten times as many; 0: no limit",
  },
  splice_pipes = {
    type = "integer",
    default = 256,
    min = 0,
    max = 65536,
    doc = "Kernel pipes that the process may hold for bulk directions; 0: always copy",
  },
}

schema.config = {
  type = "table",
  kind = "config",
  doc = "The config, moongate.lua",
  fields = {
    routes = { type = "string", default = "routes", doc = "The directory of the route files, relative to the config" },
    workers = {
      type = "integer",
      default = "auto",
      words = { "auto" },
      min = 1,
      max = 256,
      doc = "Threads; auto: one a core",
    },
    control = { type = "string", doc = "The control socket; by default /run/moongate.sock, or below $XDG_RUNTIME_DIR" },
    state = { type = "string", doc = "The directory of what survives a restart" },
    user = { type = "account", doc = "Whom root becomes before a route file is read: a name or a number" },
    group = { type = "account", doc = "Its group, when it is not the user's own: a name or a number" },
    admin = {
      type = "table",
      doc = "The admin interface over TCP",
      fields = {
        listen = { type = "listen", default = "127.0.0.1:9090", doc = "Where it listens; false: nowhere" },
        token = {
          type = "string",
          doc = "What calls over TCP have to show, to read too; without one nothing is written there. Whoever has it "
            .. "can put Lua into `routes`: keep it as a key of the machine",
        },
        hosts = {
          type = "list",
          of = { type = "host_name" },
          default = {},
          doc = "Names by which it is asked over TCP (in the header Host), beside addresses and localhost",
        },
        write = {
          type = "boolean",
          default = true,
          doc = "Whether calls may change something: false refuses them over TCP, and route files on the control "
            .. "socket too",
        },
        public_metrics = {
          type = "boolean",
          default = true,
          doc = "Whether `/metrics` is read without the token",
        },
      },
    },
    script = {
      type = "table",
      doc = "Lua",
      fields = { jit = strings({}, "Route files that run compiled, and so beyond the watchdog's reach") },
    },
    log = {
      type = "table",
      doc = "The log, on standard error",
      fields = {
        level = {
          type = "string",
          default = "info",
          enum = { "debug", "info", "warn", "error", "off" },
          doc = "The least that is logged",
        },
        format = { type = "string", default = "logfmt", enum = { "logfmt", "json" }, doc = "The form of a line" },
        access = { type = "boolean", default = false, doc = "A line for each connection, at its end" },
      },
    },
    timeouts = { type = "table", doc = "For every route that doesn't say otherwise; 0: off", fields = timeouts() },
    keep_alive = {
      type = "keep_alive",
      plain = true,
      default = { treatment = "standard", multiplier = 6 },
      doc = 'How quiet connections are treated: "standard"; "extended": `multiplier` times idle and lifetime; '
        .. '"immortal": neither, nor stuck',
    },
    tcp = {
      type = "table",
      doc = "Options of TCP sockets",
      fields = {
        no_delay = { type = "boolean", default = true, doc = "TCP_NODELAY" },
        keep_alive = { type = "boolean", default = true, doc = "Probe quiet connections" },
        probe_after = {
          type = "duration",
          default = "10m",
          min = 1000,
          max = 32767000,
          doc = "Quiet before the first probe",
        },
        probe_interval = { type = "duration", default = "60s", min = 1000, max = 32767000, doc = "Between probes" },
        probes = {
          type = "integer",
          default = 9,
          min = 1,
          max = 127,
          doc = "Unanswered probes before the connection is given up",
        },
        unacknowledged = {
          type = "duration",
          default = "2m",
          min = 1000,
          off = true,
          max = 86400000,
          doc = "Bytes on their way are sent again, and nothing comes back; 0: as long as the kernel tries",
        },
      },
    },
    limits = { type = "table", doc = "Bounds of the whole process", fields = limits },
    security = {
      type = "table",
      doc = "Before any route",
      fields = {
        ip_allow = addresses("Addresses that may connect; empty: all"),
        ip_block = addresses("Addresses that may not; wins over ip_allow"),
      },
    },
    defaults = { type = "partial_route", doc = "A partial route, merged under every route" },
    proxy_protocol = {
      type = "table",
      doc = "The PROXY protocol in front of a client's bytes",
      fields = {
        trusted = addresses("Peers that may send one: their headers are believed, and those of nobody else", true),
        accept = {
          type = "proxy_accept",
          default = "auto",
          doc = '"auto": they may, and silence for `timeout` means none; true: they must; false: never read',
        },
        send = {
          type = "proxy_send",
          plain = true,
          default = false,
          doc = "Sent to targets, where a route does not say otherwise: false, true (version 1), 1 or 2",
        },
        timeout = { type = "duration", default = "1s", min = 1, doc = "How long a header is waited for" },
      },
    },
    acme = {
      type = "table",
      doc = "Certificates by ACME",
      fields = later("warn", {
        email = { type = "string", doc = "Of the account" },
        directory = { type = "string", default = "letsencrypt", doc = '"letsencrypt", "letsencrypt-staging" or a URL' },
        renew_before = duration("30d", "How long before its end a certificate is renewed"),
        challenge = {
          type = "string",
          default = "http-01",
          enum = { "http-01", "tls-alpn-01" },
          doc = "How names are proved",
        },
        challenge_port = { type = "integer", default = 80, min = 1, max = 65535, doc = "Where http-01 is answered" },
      }),
    },
    nftables = {
      type = "table",
      doc = "Forwarding in the kernel",
      fields = later("warn", { table = { type = "string", default = "moongate", doc = "The name of our table" } }),
    },
    metrics = {
      type = "table",
      doc = "What is measured and kept",
      fields = later("warn", {
        enabled = { type = "boolean", default = true, doc = "Measure at all" },
        sample = duration("1s", "Between samples", 1),
        retention = duration("1h", "Of samples"),
        retention_minutes = duration("24h", "Of samples by the minute"),
        percentiles = { type = "boolean", default = true, doc = "Keep histograms" },
        path = { type = "string", default = "/metrics", doc = "Of the Prometheus text" },
        track_ips = { type = "boolean", default = true, doc = "Count by client address" },
        top_ips = { type = "integer", default = 1000, min = 0, max = 1000000, doc = "Addresses that are kept" },
        anonymize_ips = { type = "boolean", default = false, doc = "Cut addresses in logs, snapshots and the API" },
        statsd = { type = "string", doc = "host:port of a StatsD server" },
      }),
    },
    diagnose = {
      type = "table",
      doc = "When a snapshot is made by itself; 0: off",
      fields = {
        every = duration("5s", "Between looks; 0: never looked, and no history"),
        connections = { type = "integer", default = 0, min = 0, max = 2 ^ 31, doc = "So many are open, or more" },
        spike = { type = "integer", default = 0, min = 0, max = 2 ^ 31, doc = "So many more than at the last look" },
        old = duration("1h", "Age of a connection that counts as old"),
        keep = { type = "integer", default = 32, min = 1, max = 10000, doc = "Snapshots that are kept; the oldest go" },
      },
    },
    dns = {
      type = "table",
      doc = "Names of targets",
      fields = {
        servers = {
          type = "list",
          of = { type = "nameserver" },
          doc = '"192.0.2.1" or "192.0.2.1:53"; by default the system\'s',
        },
        timeout = { type = "duration", default = "2s", min = 1, max = 600000, doc = "Of each try" },
        tries = { type = "integer", default = 2, min = 1, max = 10, doc = "For each server" },
        cache = { type = "integer", default = 1024, min = 0, max = 1000000, doc = "Names that are kept; 0: none" },
      },
    },
  },
}

-- Whoever asks for it must not find addresses where they were to be cut.
schema.config.fields.metrics.fields.anonymize_ips.later = "refuse"

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

schema.route = {
  type = "table",
  kind = "route",
  doc = "A route",
  fields = {
    name = { type = "string", max = 200, doc = 'Unique; by default "<file>#<index>"' },
    enabled = { type = "boolean", default = true, doc = "false: checked, and left out" },
    priority = { type = "integer", default = 0, min = -2 ^ 31, max = 2 ^ 31 - 1, doc = "The highest wins" },
    tags = strings({}, "For people and tools"),
    description = { type = "string", default = "", empty = true, max = 65536, doc = "For people" },
    match = {
      type = "table",
      doc = "Which connections it takes",
      example = "such as match = { ports = 443 }",
      fields = {
        address = { type = "address", doc = "The local address to bind; by default all, IPv4 and IPv6" },
        ports = {
          type = "ports",
          required = 'say on which ports it listens, such as ports = 443 or { 80, "8000-8010" }',
          doc = "The ports to listen on; 0: one that the kernel chooses",
        },
        when = { type = "function", doc = "function(context): the last word, asked only when the rest matches" },
        domains = {
          type = "domains",
          doc = "The names that the client may ask for, globs, compared without case; by default any, and none",
        },
        client_ip = {
          type = "client_ips",
          doc = "Where clients come from: addresses, CIDRs, globs; by default anywhere",
        },
        tls_version = { type = "tls_versions", doc = "The version of TLS, as the client offers it; by default any" },
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
          doc = '"host:port", "unix:/path", { host =, port = }, or function(context) that returns host, port',
        },
        targets = { type = "targets", doc = "Several, taken in turn: { host =, port =, weight = 1 to 256 }" },
        port = { type = "target_port", doc = 'Of targets without one: a number, "preserve" or function(context)' },
        balance = {
          type = "balance",
          default = "round-robin",
          enum = { "round-robin", "least-connections", "source-hash" },
          doc = 'How one of several targets is chosen: "round-robin", "least-connections", "source-hash" or '
            .. "function(context, targets) that returns an index",
        },
        protocol = {
          type = "string",
          default = "auto",
          enum = { "tcp", "auto" },
          enum_later = { "http" },
          doc = "What is spoken",
        },
        engine = {
          type = "string",
          default = "userspace",
          enum = { "userspace" },
          enum_later = { "nftables" },
          doc = "Who moves the bytes",
        },
        half_open = { type = "boolean", default = false, doc = "Either side may end while the other sends" },
        handler = { type = "handler", doc = "function(socket, context), instead of forwarding" },
        nftables = unsupported("Forwarding in the kernel"),
        fallback = unsupported("Where the kernel can't"),
        tls = {
          type = "tls",
          doc = "What is done with TLS; by default plain connections only; false: likewise, whatever the defaults say",
          fields = tls,
        },
        send_proxy_protocol = {
          type = "proxy_send",
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
    },
    security = {
      type = "table",
      doc = "Who may use the route; looked at once it was chosen",
      example = 'such as security = { ip_allow = "10.0.0.0/8" }',
      fields = {
        ip_allow = addresses("Addresses that may use it; empty: all"),
        ip_block = addresses("Addresses that may not; wins over ip_allow"),
        max_connections = { type = "integer", default = 0, min = 0, off = true, doc = "Open at once; 0: no limit" },
        max_connections_per_ip = {
          type = "integer",
          min = 0,
          off = true,
          doc = "Open at once of one address; by default limits.connections_per_ip; 0: no limit",
        },
        connection_rate = {
          type = "count_in_window",
          doc = "New ones of one address in a window; by default limits.connection_rate; false: no limit",
        },
        authorize = { type = "function", doc = "function(context): false or nil refuses; may wait" },
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

return schema

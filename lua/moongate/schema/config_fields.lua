-- SPDX-License-Identifier: MIT
--
-- The schema of the config. What a descriptor may have is in lua/moongate/schema.lua.

local declare = require("moongate.schema.declare")

local addresses, duration, later, strings, timeouts =
  declare.addresses, declare.duration, declare.later, declare.strings, declare.timeouts

local limits = {
  connections = {
    c = "policy.connections",
    type = "integer",
    default = 0,
    min = 0,
    off = true,
    doc = "Open connections in all; 0: no limit",
  },
  connections_per_ip = {
    c = "policy.limits.connections",
    type = "integer",
    default = 100,
    min = 0,
    off = true,
    doc = "Open connections of one address; not of loopback and trusted proxies; 0: no limit",
  },
  connection_rate = {
    c = "policy.limits.rate",
    type = "count_in_window",
    default = { 300, "60s" },
    doc = "New connections of one address in a window, likewise; false: no limit",
  },
  idle_near_cap = duration(
    "30s",
    "Quiet for so long, a connection is closed early when `connections` is nearly reached; 0: off",
    { c = "policy.idle_near_cap_ms" }
  ),
  block_for = duration(0, "How long an address over its limit is refused", { c = "policy.block_ms" }),
  ipv6_prefix = {
    c = "policy.ipv6_prefix",
    type = "integer",
    default = 64,
    min = 1,
    max = 128,
    doc = "Bits of an IPv6 address that stand for one client",
  },
  addresses = {
    next_start = true,
    type = "integer",
    default = 65536,
    min = 1024,
    max = 16777216,
    doc = "Addresses that are remembered for these limits",
  },
  failed_targets = {
    c = "settings.failed_targets",
    next_start = true,
    type = "integer",
    default = 4096,
    min = 16,
    max = 1048576,
    doc = "Addresses and names of targets that are remembered as having failed lately",
  },
  gone_routes = {
    c = "limits.gone_routes",
    apart = true,
    type = "integer",
    default = 10000,
    min = 0,
    max = 131072,
    off = true,
    doc = "Names of routes that have gone whose counters are kept for an hour, for a route that comes back",
  },
  script_time = duration(
    "1s",
    "Uninterrupted running of Lua before the watchdog ends it; 0: no watchdog",
    { c = "settings.script_time_ms" }
  ),
  load_time = duration(
    "10s",
    "Loading one file, for all workers together, also while it waits for the kernel; then it is at fault",
    { min = 100, c = "limits.load_time_ms", apart = true }
  ),
  script_memory = {
    c = "settings.script_memory",
    type = "size",
    default = "256m",
    min = 1024 * 1024,
    off = true,
    doc = "For each Lua state; 0: no limit",
  },
  old_versions = {
    apart = true,
    type = "integer",
    default = 32,
    min = 1,
    max = 4096,
    doc = "Old versions of files that may live on",
  },
  shared_dictionaries = {
    c = "shared.shared_dictionaries",
    apart = true,
    type = "integer",
    default = 64,
    min = 0,
    max = 4096,
    doc = "Dictionaries of moongate.shared that scripts may make",
  },
  shared_memory = {
    c = "shared.shared_memory",
    apart = true,
    type = "size",
    default = "16m",
    min = 64 * 1024,
    doc = "What each dictionary of moongate.shared may hold",
  },
  metric_series = {
    c = "shared.metric_series",
    apart = true,
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
    c = "settings.splice_pipes",
    next_start = "whole",
    type = "integer",
    default = 256,
    min = 0,
    max = 65536,
    doc = "Kernel pipes that the process may hold for bulk directions; 0: always copy",
  },
}

local config = {
  type = "table",
  kind = "config",
  doc = "The config, moongate.lua",
  fields = {
    routes = {
      type = "string",
      default = "routes",
      next_start = true,
      doc = "The directory of the route files, relative to the config",
    },
    workers = {
      type = "integer",
      default = "auto",
      words = { "auto" },
      next_start = true,
      min = 1,
      max = 256,
      doc = "Threads; auto: one a core",
    },
    control = {
      type = "string",
      next_start = true,
      doc = "The control socket; by default /run/moongate.sock, or below $XDG_RUNTIME_DIR",
    },
    state = { type = "string", next_start = true, doc = "The directory of what survives a restart" },
    user = {
      type = "account",
      next_start = true,
      doc = "Whom root becomes before a route file is read: a name or a number",
    },
    group = {
      type = "account",
      next_start = true,
      doc = "Its group, when it is not the user's own: a name or a number",
    },
    admin = {
      type = "table",
      doc = "The admin interface over TCP",
      apart = true,
      fields = {
        listen = {
          type = "listen",
          default = "127.0.0.1:9090",
          next_start = true,
          doc = "Where it listens; false: nowhere",
        },
        token = {
          type = "string",
          secret = true,
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
      fields = {
        jit = strings(
          {},
          "Route files that run compiled, and so beyond the watchdog's reach",
          { c = "jit_files", apart = true }
        ),
      },
    },
    log = {
      type = "table",
      doc = "The log, on standard error",
      apart = true,
      fields = {
        level = {
          type = "string",
          default = "info",
          enum = { "debug", "info", "warn", "error", "off" },
          doc = "The least that is logged",
        },
        format = { type = "string", default = "logfmt", enum = { "logfmt", "json" }, doc = "The form of a line" },
        access = {
          type = "boolean",
          default = false,
          c = "policy.access_log",
          doc = "A line for each connection, at its end",
        },
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
      c = "settings.tcp",
      next_start = true,
      fields = {
        no_delay = { type = "boolean", default = true, doc = "TCP_NODELAY" },
        keep_alive = { type = "boolean", default = true, doc = "Probe quiet connections" },
        probe_after = {
          type = "duration",
          default = "10m",
          min = 1000,
          max = 32767000,
          c = "settings.tcp.probe_after_ms",
          doc = "Quiet before the first probe",
        },
        probe_interval = {
          type = "duration",
          default = "60s",
          min = 1000,
          max = 32767000,
          c = "settings.tcp.probe_interval_ms",
          doc = "Between probes",
        },
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
          c = "settings.tcp.unacknowledged_ms",
          doc = "Bytes on their way are sent again, and nothing comes back; 0: as long as the kernel tries",
        },
      },
    },
    limits = { type = "table", doc = "Bounds of the whole process", fields = limits },
    security = {
      type = "table",
      doc = "Before any route",
      fields = {
        ip_allow = addresses("Addresses that may connect; empty: all", { c = "policy.allow" }),
        ip_block = addresses("Addresses that may not; wins over ip_allow", { c = "policy.block" }),
      },
    },
    defaults = { type = "partial_route", doc = "A partial route, merged under every route" },
    proxy_protocol = {
      type = "table",
      doc = "The PROXY protocol in front of a client's bytes",
      fields = {
        trusted = addresses(
          "Peers that may send one: their headers are believed, and those of nobody else",
          { trusted = true, c = "policy.trusted" }
        ),
        accept = {
          type = "proxy_accept",
          default = "auto",
          c = "policy.accept",
          normal_words = { "never", "auto", "must" },
          doc = '"auto": they may, and silence for `timeout` means none; true: they must; false: never read',
        },
        send = {
          type = "proxy_send",
          plain = true,
          default = false,
          c = "proxy_send",
          doc = "Sent to targets, where a route does not say otherwise: false, true (version 1), 1 or 2",
        },
        timeout = {
          type = "duration",
          default = "1s",
          min = 1,
          c = "policy.proxy_timeout_ms",
          doc = "How long a header is waited for",
        },
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
        sample = duration("1s", "Between samples", { min = 1 }),
        retention = duration("1h", "Of samples"),
        retention_minutes = duration("24h", "Of samples by the minute"),
        percentiles = { type = "boolean", default = true, doc = "Keep histograms" },
        path = { type = "string", default = "/metrics", doc = "Of the Prometheus text" },
        track_ips = {
          c = "policy.track_ips",
          type = "boolean",
          default = true,
          doc = "Count bytes and connections by client address; false: all is `(other)`",
        },
        top_ips = {
          c = "policy.top_ips",
          type = "integer",
          default = 1000,
          min = 0,
          max = 100000,
          doc = "Addresses by which a worker counts; the longest unused goes to `(other)`",
        },
        anonymize_ips = { type = "boolean", default = false, doc = "Cut addresses in logs, snapshots and the API" },
        statsd = { type = "string", doc = "host:port of a StatsD server" },
      }),
    },
    diagnose = {
      type = "table",
      doc = "When a snapshot is made by itself; 0: off",
      apart = true,
      fields = {
        every = duration("5s", "Between looks; 0: never looked, and no history", { c = "diagnose.every_ms" }),
        connections = { type = "integer", default = 0, min = 0, max = 2 ^ 31, doc = "So many are open, or more" },
        spike = { type = "integer", default = 0, min = 0, max = 2 ^ 31, doc = "So many more than at the last look" },
        old = duration("1h", "Age of a connection that counts as old", { c = "diagnose.old_ms" }),
        keep = { type = "integer", default = 32, min = 1, max = 10000, doc = "Snapshots that are kept; the oldest go" },
      },
    },
    dns = {
      type = "table",
      doc = "Names of targets",
      c = "settings.dns",
      next_start = true,
      fields = {
        servers = {
          type = "list",
          of = { type = "nameserver" },
          doc = '"192.0.2.1" or "192.0.2.1:53"; by default the system\'s',
        },
        timeout = {
          type = "duration",
          default = "2s",
          min = 1,
          max = 600000,
          c = "settings.dns.timeout_ms",
          doc = "Of each try",
        },
        tries = { type = "integer", default = 2, min = 1, max = 10, doc = "For each server" },
        cache = {
          type = "integer",
          default = 1024,
          min = 64,
          max = 1000000,
          c = "settings.dns.cache_entries",
          doc = "Names that are known at once; the least recently used goes",
        },
        family = {
          type = "string",
          default = "any",
          enum = { "any", "ipv4", "ipv6" },
          doc = "Of a name's addresses: the others are not asked for",
        },
        min_ttl = {
          type = "duration",
          default = "1s",
          min = 1000,
          max = 7 * 86400000,
          c = "settings.dns.min_ttl_ms",
          doc = "An answer is used so long at least, whatever its TTL",
        },
        max_ttl = {
          type = "duration",
          default = "1h",
          min = 1000,
          max = 7 * 86400000,
          c = "settings.dns.max_ttl_ms",
          doc = "An answer is used so long at most, whatever its TTL, and min_ttl",
        },
        stale = {
          type = "duration",
          default = "1h",
          min = 0,
          max = 7 * 86400000,
          c = "settings.dns.stale_ms",
          doc = "While name servers fail, last known addresses serve so long after the end of their TTL; 0: not at all",
        },
      },
    },
  },
  -- Of the normal form, made by schema/config.lua.
  derived = {
    has_nftables = { type = "boolean", apart = true },
    inherited = { type = "string" },
  },
}

local metrics = config.fields.metrics.fields
metrics.track_ips.later, metrics.top_ips.later = nil, nil

-- Whoever asks for it must not find addresses where they were to be cut.
metrics.anonymize_ips.later = "refuse"

return config

---@meta
-- SPDX-License-Identifier: MIT
--
-- Generated from lua/moongate/schema.lua by `./dev docs`: change it there.
-- The config, moongate.lua: `---@type moongate.Config` above its `return`.

---The config, moongate.lua
---@class moongate.Config
---@field acme? moongate.Config.Acme Certificates by ACME
---@field admin? moongate.Config.Admin The admin interface over TCP
---@field control? string The control socket; by default /run/moongate.sock, or below $XDG_RUNTIME_DIR
---@field defaults? moongate.Config.Defaults A partial route, merged under every route
---@field diagnose? moongate.Config.Diagnose When a snapshot is made by itself; 0: off
---@field dns? moongate.Config.Dns Names of targets
---@field group? string|integer Its group, when it is not the user's own: a name or a number
---@field keep_alive? moongate.Treatment|moongate.KeepAlive How quiet connections are treated: "standard"; "extended": `multiplier` times idle and lifetime; "immortal": neither, nor stuck ({ multiplier = 6, treatment = "standard" })
---@field limits? moongate.Config.Limits Bounds of the whole process
---@field log? moongate.Config.Log The log, on standard error
---@field metrics? moongate.Config.Metrics What is measured and kept
---@field nftables? moongate.Config.Nftables Forwarding in the kernel
---@field proxy_protocol? moongate.Config.ProxyProtocol The PROXY protocol in front of a client's bytes
---@field routes? string The directory of the route files, relative to the config ("routes")
---@field script? moongate.Config.Script Lua
---@field security? moongate.Config.Security Before any route
---@field state? string The directory of what survives a restart
---@field tcp? moongate.Config.Tcp Options of TCP sockets
---@field timeouts? moongate.Timeouts For every route that doesn't say otherwise; 0: off
---@field user? string|integer Whom root becomes before a route file is read: a name or a number
---@field workers? integer|"auto" Threads; auto: one a core ("auto")

---Certificates by ACME
---@class moongate.Config.Acme
---@field challenge? "http-01"|"tls-alpn-01" How names are proved ("http-01"); no effect in this version
---@field challenge_port? integer Where http-01 is answered (80); no effect in this version
---@field directory? string "letsencrypt", "letsencrypt-staging" or a URL ("letsencrypt"); no effect in this version
---@field email? string Of the account; no effect in this version
---@field renew_before? moongate.Duration|false How long before its end a certificate is renewed ("30d"); no effect in this version

---The admin interface over TCP
---@class moongate.Config.Admin
---@field hosts? string|string[] Names by which it is asked over TCP (in the header Host), beside addresses and localhost ({})
---@field listen? string|false Where it listens; false: nowhere ("127.0.0.1:9090")
---@field public_metrics? boolean Whether `/metrics` is read without the token (true)
---@field token? string What calls over TCP have to show, to read too; without one nothing is written there. Whoever has it can put Lua into `routes`: keep it as a key of the machine
---@field write? boolean Whether calls may change something: false refuses them over TCP, and route files on the control socket too (true)

---When a snapshot is made by itself; 0: off
---@class moongate.Config.Diagnose
---@field connections? integer So many are open, or more (0)
---@field every? moongate.Duration|false Between looks; 0: never looked, and no history ("5s")
---@field keep? integer Snapshots that are kept; the oldest go (32)
---@field old? moongate.Duration|false Age of a connection that counts as old ("1h")
---@field spike? integer So many more than at the last look (0)

---Names of targets
---@class moongate.Config.Dns
---@field cache? integer Names that are known at once; the least recently used goes (1024)
---@field family? "any"|"ipv4"|"ipv6" Of a name's addresses: the others are not asked for ("any")
---@field max_ttl? moongate.Duration An answer is used so long at most, whatever its TTL, and min_ttl ("1h")
---@field min_ttl? moongate.Duration An answer is used so long at least, whatever its TTL ("1s")
---@field servers? string|string[] "192.0.2.1" or "192.0.2.1:53"; by default the system's
---@field stale? moongate.Duration|false While name servers fail, last known addresses serve so long after the end of their TTL; 0: not at all ("1h")
---@field timeout? moongate.Duration Of each try ("2s")
---@field tries? integer For each server (2)

---Bounds of the whole process
---@class moongate.Config.Limits
---@field addresses? integer Addresses that are remembered for these limits (65536)
---@field block_for? moongate.Duration|false How long an address over its limit is refused (0)
---@field connection_rate? moongate.CountInWindow|false New connections of one address in a window, likewise; false: no limit ({ 300, "60s" })
---@field connections? integer|false Open connections in all; 0: no limit (0)
---@field connections_per_ip? integer|false Open connections of one address; not of loopback and trusted proxies; 0: no limit (100)
---@field failed_targets? integer Addresses and names of targets that are remembered as having failed lately (4096)
---@field idle_near_cap? moongate.Duration|false Quiet for so long, a connection is closed early when `connections` is nearly reached; 0: off ("30s")
---@field ipv6_prefix? integer Bits of an IPv6 address that stand for one client (64)
---@field load_time? moongate.Duration Loading one file, for all workers together, also while it waits for the kernel; then it is at fault ("10s")
---@field log_lines? integer|false Lines a second that a route file may log, in each worker, beyond a burst of ten times as many; 0: no limit (100)
---@field metric_series? integer Series of the metrics that scripts make, in all (10000)
---@field old_versions? integer Old versions of files that may live on (32)
---@field open_files? integer Files that the functions of a route file may have open at once, in each worker (256)
---@field script_memory? moongate.Size|false For each Lua state; 0: no limit ("256m")
---@field script_time? moongate.Duration|false Uninterrupted running of Lua before the watchdog ends it; 0: no watchdog ("1s")
---@field shared_dictionaries? integer Dictionaries of moongate.shared that scripts may make (64)
---@field shared_memory? moongate.Size What each dictionary of moongate.shared may hold ("16m")
---@field splice_pipes? integer Kernel pipes that the process may hold for bulk directions; 0: always copy (256)
---@field timers? integer Timers that a route file may have at once, in each worker (1000)

---The log, on standard error
---@class moongate.Config.Log
---@field access? boolean A line for each connection, at its end (false)
---@field format? "logfmt"|"json" The form of a line ("logfmt")
---@field level? "debug"|"info"|"warn"|"error"|"off" The least that is logged ("info")

---What is measured and kept
---@class moongate.Config.Metrics
---@field enabled? boolean Measure at all (true); no effect in this version
---@field path? string Of the Prometheus text ("/metrics"); no effect in this version
---@field percentiles? boolean Keep histograms (true); no effect in this version
---@field retention? moongate.Duration|false Of samples ("1h"); no effect in this version
---@field retention_minutes? moongate.Duration|false Of samples by the minute ("24h"); no effect in this version
---@field sample? moongate.Duration Between samples ("1s"); no effect in this version
---@field statsd? string host:port of a StatsD server; no effect in this version
---@field top_ips? integer Addresses by which a worker counts; the longest unused goes to `(other)` (1000)
---@field track_ips? boolean Count bytes and connections by client address; false: all is `(other)` (true)

---Forwarding in the kernel
---@class moongate.Config.Nftables
---@field table? string The name of our table ("moongate"); no effect in this version

---The PROXY protocol in front of a client's bytes
---@class moongate.Config.ProxyProtocol
---@field accept? "auto"|boolean "auto": they may, and silence for `timeout` means none; true: they must; false: never read ("auto")
---@field send? boolean|1|2 Sent to targets, where a route does not say otherwise: false, true (version 1), 1 or 2 (false)
---@field timeout? moongate.Duration How long a header is waited for ("1s")
---@field trusted? string|string[] Peers that may send one: their headers are believed, and those of nobody else ({})

---Lua
---@class moongate.Config.Script
---@field jit? string|string[] Route files that run compiled, and so beyond the watchdog's reach ({})

---Before any route
---@class moongate.Config.Security
---@field ip_allow? string|string[] Addresses that may connect; empty: all ({})
---@field ip_block? string|string[] Addresses that may not; wins over ip_allow ({})

---Options of TCP sockets
---@class moongate.Config.Tcp
---@field keep_alive? boolean Probe quiet connections (true)
---@field no_delay? boolean TCP_NODELAY (true)
---@field probe_after? moongate.Duration Quiet before the first probe ("10m")
---@field probe_interval? moongate.Duration Between probes ("60s")
---@field probes? integer Unanswered probes before the connection is given up (9)
---@field unacknowledged? moongate.Duration|false Bytes on their way are sent again, and nothing comes back; 0: as long as the kernel tries ("2m")

---For every route that doesn't say otherwise; 0: off
---@class moongate.Timeouts
---@field connect? moongate.Duration|false For a target to accept, its name's lookup included ("30s")
---@field half_closed? moongate.Duration|false After one side has ended, with half_open ("30m")
---@field half_dead? moongate.DurationPair|moongate.Duration|false One side has ended, and no byte moves ({ "30s", tls = "5m" })
---@field idle? moongate.Duration|false Without a byte in either direction ("4h")
---@field initial_data? moongate.Duration|false For a client's first byte, where a route can't be chosen or served without it ("60s")
---@field lifetime? moongate.Duration|false Of a connection, whatever it does ("24h")
---@field linger? moongate.Duration|false For a closing client to take what was sent, without progress ("5s")
---@field shutdown? moongate.Duration|false For connections to finish when moongate stops ("30s")
---@field stuck? moongate.DurationPair|moongate.Duration|false The client has sent bytes that the target has never answered, and none has moved since ({ "60s", tls = "5m" })

---A route of which any part may be missing, merged under every route.
---@class moongate.Config.Defaults
---@field action? moongate.Config.Defaults.Action What is done with them
---@field description? string For people
---@field enabled? boolean false: checked, and left out (true)
---@field keep_alive? moongate.Treatment|moongate.KeepAlive How quiet connections are treated: "standard", "extended", "immortal", { treatment =, multiplier = } or function(context) that returns both; by default the config's
---@field match? moongate.Config.Defaults.Match Which connections it takes
---@field on_change? "keep"|"drain"|"close" What becomes of its connections when it changes or goes ("keep")
---@field priority? integer The highest wins (0)
---@field security? moongate.Config.Defaults.Security Who may use the route; looked at once it was chosen
---@field tags? string|string[] For people and tools ({})
---@field timeouts? moongate.Timeouts Any of the config's, for this route

---What is done with them
---@class moongate.Config.Defaults.Action
---@field balance? "round-robin"|"least-connections"|"source-hash" How one of several targets is chosen: "round-robin", "least-connections", "source-hash" or function(context, targets) that returns an index ("round-robin")
---@field engine? "userspace" Who moves the bytes ("userspace")
---@field half_open? boolean Either side may end while the other sends (false)
---@field port? integer|"preserve" Of targets without one: a number, "preserve" or function(context)
---@field protocol? "tcp"|"auto" What is spoken ("auto")
---@field send_proxy_protocol? boolean|1|2|moongate.ProxyHeader A PROXY header before the client's bytes: true (version 1), 1, 2, { version = 2, tlvs = { [0xEA] = … } }; by default the config's proxy_protocol.send
---@field target? string|moongate.Target "host:port", "unix:/path", { host =, port = }, or function(context) that returns host, port
---@field targets? (string|moongate.WeightedTarget)[] Several, taken in turn: { host =, port =, weight = 1 to 256 }
---@field tls? moongate.Config.Defaults.Action.Tls|false What is done with TLS; by default plain connections only; false: likewise, whatever the defaults say

---What is done with TLS; by default plain connections only; false: likewise, whatever the defaults say
---@class moongate.Config.Defaults.Action.Tls
---@field mode? "passthrough" passthrough: TLS is forwarded as it is, byte for byte

---Which connections it takes
---@class moongate.Config.Defaults.Match
---@field address? string The local address to bind; by default all, IPv4 and IPv6
---@field client_ip? string|string[] Where clients come from: addresses, CIDRs, globs; by default anywhere
---@field domains? string|string[] The names that the client may ask for, globs, compared without case; by default any, and none
---@field ports? moongate.PortRange|moongate.PortRange[] The ports to listen on; 0: one that the kernel chooses
---@field tls_version? moongate.TlsVersion|moongate.TlsVersion[] The version of TLS, as the client offers it; by default any

---Who may use the route; looked at once it was chosen
---@class moongate.Config.Defaults.Security
---@field connection_rate? moongate.CountInWindow|false New ones of one address in a window; by default limits.connection_rate; false: no limit
---@field ip_allow? string|string[] Addresses that may use it; empty: all ({})
---@field ip_block? string|string[] Addresses that may not; wins over ip_allow ({})
---@field max_connections? integer|false Open at once; 0: no limit (0)
---@field max_connections_per_ip? integer|false Open at once of one address; by default limits.connections_per_ip; 0: no limit

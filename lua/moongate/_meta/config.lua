---@meta
-- SPDX-License-Identifier: MIT
--
-- The config, moongate.lua, for editors: `---@type moongate.Config` above its `return`.

---A number of seconds, or "500ms", "90s", "5m", "4h", "30d".
---@alias moongate.Duration number|string

---A number of bytes, or "64k", "1m".
---@alias moongate.Size integer|string

---@class moongate.Config
---@field routes? string The directory of the route files, relative to the config ("routes")
---@field workers? integer|"auto" Threads; auto: one a core
---@field control? string The control socket
---@field state? string The directory of what survives a restart
---@field admin? moongate.Config.Admin
---@field script? moongate.Config.Script
---@field log? moongate.Config.Log
---@field timeouts? moongate.Timeouts For every route that doesn't say otherwise
---@field tcp? moongate.Config.Tcp
---@field limits? moongate.Config.Limits
---@field dns? moongate.Config.Dns
---@field defaults? moongate.Config.Defaults A partial route, merged under every route

---@class moongate.Config.Defaults
---@field enabled? boolean
---@field priority? integer
---@field tags? string|string[]
---@field description? string
---@field match? moongate.Config.Defaults.Match
---@field action? moongate.Config.Defaults.Action
---@field timeouts? moongate.Timeouts
---@field on_change? "keep"|"drain"|"close"

---@class moongate.Config.Defaults.Match
---@field address? string
---@field ports? moongate.PortRange|moongate.PortRange[]
---@field domains? string|string[]
---@field client_ip? string|string[]
---@field tls_version? moongate.TlsVersion|moongate.TlsVersion[]

---No functions.
---@class moongate.Config.Defaults.Action
---@field target? string|moongate.Route.Target
---@field targets? (string|moongate.Route.WeightedTarget)[]
---@field port? integer|"preserve" Of targets without one
---@field balance? "round-robin"
---@field protocol? "tcp"|"auto"
---@field engine? "userspace"
---@field tls? moongate.Route.Tls
---@field half_open? boolean

---@class moongate.Config.Admin
---@field listen? string|false Where it listens ("127.0.0.1:9090"); false: nowhere
---@field token? string What writing calls have to show

---@class moongate.Config.Script
---@field jit? string|string[] Route files that run compiled, and so beyond the watchdog's reach

---@class moongate.Config.Log
---@field level? "debug"|"info"|"warn"|"error"|"off"
---@field format? "logfmt"|"json"
---@field access? boolean A line for each exchange

---{ plain, tls = … }, or one for both.
---@class moongate.DurationPair
---@field [1]? moongate.Duration
---@field tls? moongate.Duration

---0: off.
---@class moongate.Timeouts
---@field connect? moongate.Duration For a target to accept, its name's lookup included ("30s")
---@field initial_data? moongate.Duration For a client's first byte, where it is needed ("60s")
---@field idle? moongate.Duration Without a byte in either direction ("4h")
---@field lifetime? moongate.Duration Of a connection, whatever it does ("24h")
---@field half_closed? moongate.Duration After one side has ended, with half_open ("30m")
---@field linger? moongate.Duration For a closing client to take what was sent, without progress ("5s")
---@field shutdown? moongate.Duration For connections to finish when moongate stops ("30s")
---@field half_dead? moongate.DurationPair|moongate.Duration One side has ended, and no byte moves ({ "30s", tls = "5m" })
---@field stuck? moongate.DurationPair|moongate.Duration The target has never answered ({ "60s", tls = "5m" })

---@class moongate.Config.Tcp
---@field no_delay? boolean TCP_NODELAY (true)
---@field keep_alive? boolean Probe quiet connections (true)
---@field probe_after? moongate.Duration Quiet before the first probe ("10m")
---@field probe_interval? moongate.Duration Between probes ("60s")
---@field probes? integer Unanswered probes before the connection is given up (9)

---@class moongate.Config.Limits
---@field script_time? moongate.Duration Uninterrupted running of Lua before the watchdog ends it ("1s")
---@field script_memory? moongate.Size|false For each Lua state ("256m")
---@field old_versions? integer Old versions of files that may live on (32)
---@field splice_pipes? integer Kernel pipes that the process may hold for bulk directions (256)

---@class moongate.Config.Dns
---@field servers? string|string[] "192.0.2.1" or "192.0.2.1:53"; by default the system's
---@field timeout? moongate.Duration Of each try ("2s")
---@field tries? integer For each server (2)
---@field cache? integer Names that are kept (1024)

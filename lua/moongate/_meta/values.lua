---@meta
-- SPDX-License-Identifier: MIT
--
-- What the fields of the config and of routes are made of. The fields themselves are in config.lua and route.lua.

---A number of seconds, or "500ms", "90s", "5m", "4h", "30d".
---@alias moongate.Duration number|string

---A number of bytes, or "64k", "1m".
---@alias moongate.Size integer|string

---{ plain, tls = … }, or one for both.
---@class moongate.DurationPair
---@field [1]? moongate.Duration
---@field tls? moongate.Duration

---So many in a window: { 300, "60s" }.
---@class moongate.CountInWindow
---@field [1] integer
---@field [2] moongate.Duration

---How quiet connections are treated.
---@alias moongate.Treatment "standard"|"extended"|"immortal"

---@class moongate.KeepAlive
---@field treatment? moongate.Treatment
---@field multiplier? integer 1 to 1000, of idle and lifetime (6)

---Returns the treatment, and for "extended" the multiplier.
---@alias moongate.KeepAliveFunction fun(context: moongate.Context): moongate.Treatment, integer?

---@class moongate.ProxyHeader
---@field version? 1|2 (2)
---@field tlvs? table<integer, string> by type, 0 to 0xFF; of version 2

---443, "8000-8010", { from = 8000, to = 8010 }.
---@alias moongate.PortRange integer|string|{ from: integer, to: integer }

---@alias moongate.TlsVersion "1.0"|"1.1"|"1.2"|"1.3"

---@alias moongate.TargetFunction fun(context: moongate.Context): string|{ host: string, port: integer }, integer?
---@alias moongate.PortFunction fun(context: moongate.Context): integer
---@alias moongate.HostFunction fun(context: moongate.Context): string

---@class moongate.Target
---@field host string|string[]|moongate.HostFunction
---@field port? integer|"preserve"|moongate.PortFunction "preserve": the port that the client came in on

---@class moongate.WeightedTarget : moongate.Target
---@field weight? integer 1 to 256

---Returns the index of one of the targets.
---@alias moongate.BalanceFunction fun(context: moongate.Context, targets: moongate.BalanceTarget[]): integer

---@class moongate.BalanceTarget
---@field host string
---@field port integer
---@field weight integer
---@field active integer its open connections

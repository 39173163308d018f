---@meta
-- SPDX-License-Identifier: MIT

--- There without `require` in route files, handlers and specs. Durations are seconds, or "500ms", "90s", "5m", "4h",
--- "30d".
---@class moongate
---@field version string
---@field worker { number: integer, count: integer } this worker, and how many there are; 0 and 0 while a file is being loaded
---@field handlers moongate.handlers
---@field route moongate.route
---@field log moongate.log
moongate = {}

--- Connects: a host and a port, "host:port" or "unix:/path". Without a timeout the route's timeouts.connect holds (30
--- s), names included. Errors: "timeout", "connection refused", "host or service not provided, or not known",
--- "temporary failure in name resolution", "No route to host", "Network is unreachable", "No such file or
--- directory" (a unix socket), "permission denied", "no file descriptors left", "out of memory", "failed".
--- With tls also those of socket:starttls(), and its detail.
---@param host string|{ host: string, port: integer }
---@param port? integer|moongate.ConnectOptions
---@param options? moongate.ConnectOptions
---@return moongate.Socket? socket
---@return string? err
---@return string? detail
function moongate.connect(host, port, options) end

---@class moongate.ConnectOptions
---@field timeout? number|string
---@field tls? boolean|moongate.TlsOptions

--- A name's addresses, in the order to try; or nil and the error, as connect has it.
---@param name string
---@return string[]? addresses
---@return string? err
function moongate.resolve(name) end

--- Waits. 0 lets everything else that can run have its turn first.
---@param duration number|string
function moongate.sleep(duration) end

--- Runs fn(…) beside the present function; it begins when that waits or ends. It belongs to the same connection: when
--- the handler (or other function of a route) that spawned it ends, it is cancelled. Its errors are logged.
---@param fn fun(...)
---@param ... any
function moongate.spawn(fn, ...) end

--- Seconds since the epoch, with fractions.
---@return number
function moongate.now() end

---@class moongate.News
---@field generation integer of the configuration that is live now
---@field changed string[] names of route files: new ones, and those of which another version is live now
---@field removed string[] names of route files that are gone

--- Calls fn(news) whenever a new configuration has gone live, in every worker, as long as this version of the file is
--- live: also for the reload that has made it so, not at the start. It may wait; when the file is replaced, it ends where
--- it waits. Its errors are logged. To be called while the file is loaded; at most 100 times. A file whose routes have no
--- functions keeps nothing that could be called.
---@param fn fun(news: moongate.News)
function moongate.on_reload(fn) end

--- Log lines. Fields: at most 16, with string keys; values are printed.
---@class moongate.log
---@field debug fun(message: string, fields?: table)
---@field info fun(message: string, fields?: table)
---@field warn fun(message: string, fields?: table)
---@field error fun(message: string, fields?: table)

---@alias moongate.Handler fun(socket: moongate.Socket, context: moongate.Context)

--- Each returns a handler.
---@class moongate.handlers
---@field echo fun(): moongate.Handler sends everything back
---@field proxy fun(host: string, port?: integer): moongate.Handler forwards natively
---@field block fun(message?: string): moongate.Handler sends the message, and closes
---@field line fun(fn: fun(line: string, socket: moongate.Socket, context: moongate.Context): any): moongate.Handler
---@field http_response fun(options: { status?: integer, headers?: table, body?: string }): moongate.Handler

return moongate

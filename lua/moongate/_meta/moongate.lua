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
---@field metrics moongate.metrics
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
--- the handler (or other function of a route) that spawned it ends, it is cancelled. Its errors are logged, unless
--- somebody waits in join() by then.
---@param fn fun(...)
---@param ... any
---@return moongate.Task
function moongate.spawn(fn, ...) end

---@class moongate.Task
local Task = {}

--- Waits for the function's end: what it returned, or nil and what it raised, or nil and "cancelled". May be called
--- again, and by several.
---@return any ...
function Task:join() end

--- Ends it where it waits.
---@return boolean ran whether it had not ended yet
function Task:cancel() end

---@class moongate.Timer
local Timer = {}

--- No call follows; one that has begun goes on. Whether one was still to come.
---@return boolean was_set
function Timer:cancel() end

--- Calls fn(…) once, in so many seconds. The call may wait. It belongs to the version of the file, not to a connection:
--- made while the file is loaded it begins when that goes live, in every worker; when the file is replaced it ends.
--- nil and "too many timers" (limits.timers), or "replaced": the handler's own version of the file is an old one.
---@param duration number|string
---@param fn fun(...)
---@param ... any
---@return moongate.Timer? timer
---@return string? err
function moongate.after(duration, fn, ...) end

--- The same again and again. A call that takes longer than the period delays the next one: they never overlap. What it
--- raises is logged and counted, and the next one comes all the same. once: in one worker only; while a file is loaded.
---@param duration number|string
---@param fn fun()
---@param options? { once?: boolean }
---@return moongate.Timer? timer
---@return string? err
function moongate.every(duration, fn, options) end

--- A dictionary that all workers and all files see, made at its first use. It outlives reloads, not the process.
---@param name string at most 64 bytes
---@return moongate.Dictionary
function moongate.shared(name) end

--- Keys are strings of 1 to 1,024 bytes; values booleans, numbers and strings. Errors: "exists", "not found", "not a
--- number", "no memory" (a value larger than a sixteenth of the dictionary), "bad key".
---@class moongate.Dictionary
local Dictionary = {}

---@param key string
---@return boolean|number|string|nil value
function Dictionary:get(key) end

--- What has expired makes room, then what was used longest ago. nil deletes.
---@param key string
---@param value boolean|number|string|nil
---@param ttl? number|string 0 or nil: for good
---@return true? ok
---@return string? err
function Dictionary:set(key, value, ttl) end

--- As set, where there is none yet: else nil and "exists".
---@param key string
---@param value boolean|number|string
---@param ttl? number|string
---@return true? ok
---@return string? err
function Dictionary:add(key, value, ttl) end

--- Adds to a number in one step for all workers. Where there is none it begins with `init` for `ttl`; without `init`
--- that is nil and "not found".
---@param key string
---@param by? number 1
---@param init? number
---@param ttl? number|string
---@return number? sum
---@return string? err
function Dictionary:incr(key, by, init, ttl) end

---@param key string
---@return true
function Dictionary:delete(key) end

--- Perl's regular expressions (PCRE2). Flags: i (case), m (multiline), s (dot matches line ends), x (extended), u (UTF-8),
--- a (anchored). Raises for a pattern that is none. Compiled once for each file and worker.
---@param pattern string
---@param flags? string
---@return moongate.Regex
function moongate.regex(pattern, flags) end

--- Where a match can't be told the methods return nil and "match limit" (it would take too long), "not UTF-8" or "no
--- memory"; gmatch raises it.
---@class moongate.Regex
local Regex = {}

---@param subject string
---@param init? integer
---@return boolean? matches
---@return string? err
function Regex:test(subject, init) end

--- Its captures, or the whole match where the pattern has none.
---@param subject string
---@param init? integer
---@return string? ...
function Regex:match(subject, init) end

--- Where it begins and ends, and its captures.
---@param subject string
---@param init? integer
---@return integer? first
---@return integer? last
---@return string? ...
function Regex:find(subject, init) end

--- [0] the whole match, the captures by number and by name.
---@param subject string
---@param init? integer
---@return table<integer|string, string>? captures
---@return string? err
function Regex:captures(subject, init) end

---@param subject string
---@return fun(): string?, ...
function Regex:gmatch(subject) end

--- As string.gsub ("%0", "%1", … in a text; a table; a function, which may wait).
---@param subject string
---@param replace string|table<string, string>|fun(...: string): string?
---@param most? integer
---@return string? text
---@return integer|string count or the error
function Regex:gsub(subject, replace, most) end

--- Metrics of a script's own, on /metrics under the name given; and what the runtime counts, over all workers, which
--- waits for their answers. throughput, requests and percentiles raise in this version.
---@class moongate.metrics
---@field connections moongate.metrics.Connections
---@field throughput table raises "not in this version", as the next two do
---@field requests table
---@field percentiles table
---@field totals { bytes_in: (fun(): number), bytes_out: (fun(): number), connections: (fun(): integer) }
local metrics = {}

---@class moongate.metrics.Connections
---@field active fun(): integer
---@field total fun(): integer
---@field by_route fun(): table<string, integer> open ones
---@field by_ip fun(): table<string, integer> open ones, by client address (of IPv6 "2001:db8::/64"), and "(other)"
---@field top fun(most?: integer): moongate.metrics.Client[] those with the most open ones; 10

---@class moongate.metrics.Client
---@field ip string
---@field connections integer open ones
---@field bytes_in number
---@field bytes_out number

---@alias moongate.LabelValues table<integer|string, string|number|boolean> in the order of the labels, or by their names

---@param name string
---@param help? string
---@param labels? string[] at most 8
---@return moongate.Counter
function metrics.counter(name, help, labels) end

---@param name string
---@param help? string
---@param labels? string[]
---@return moongate.Gauge
function metrics.gauge(name, help, labels) end

---@param name string
---@param help? string
---@param labels? string[]
---@param buckets? number[] upper bounds, ascending
---@return moongate.Histogram
function metrics.histogram(name, help, labels, buckets) end

--- Methods return true, or nil and "too many series" (limits.metric_series) or "no memory".
---@class moongate.Counter
---@field inc fun(self, by?: number, values?: moongate.LabelValues): true?, string?

---@class moongate.Gauge
---@field inc fun(self, by?: number, values?: moongate.LabelValues): true?, string?
---@field dec fun(self, by?: number, values?: moongate.LabelValues): true?, string?
---@field set fun(self, value: number, values?: moongate.LabelValues): true?, string?

---@class moongate.Histogram
---@field observe fun(self, value: number, values?: moongate.LabelValues): true?, string?

--- Seconds since the epoch, with fractions.
---@return number
function moongate.now() end

---@class moongate.News
---@field generation integer of the configuration that is live now
---@field changed string[] names of route files: new ones, and those of which another version is live now
---@field removed string[] names of route files that are gone

--- Calls fn(news) whenever a new configuration has gone live, in every worker, as long as this version of the file is
--- live: also for the reload that has made it so, not at the start. It may wait; when the file is replaced, it ends where
--- it waits. Its errors are logged. To be called while the file is loaded; at most 100 times.
---@param fn fun(news: moongate.News)
function moongate.on_reload(fn) end

--- Log lines. Fields: at most 16, with string keys; values are printed. limits.log_lines bounds them.
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
---@field http fun(fn: fun(request: table, response: table, context: moongate.Context): string|table|nil): moongate.Handler
---@field http_block fun(status?: integer, message?: string): moongate.Handler answers with it (403), and closes
---@field http_redirect fun(template: string, status?: integer): moongate.Handler "https://{domain}{path}", 301
---@field http_response fun(options: { status?: integer, headers?: table, body?: string }): moongate.Handler

return moongate

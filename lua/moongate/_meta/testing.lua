---@meta
-- SPDX-License-Identifier: MIT

--- require "moongate.testing", in specs that `moongate test` runs.
---@class moongate.testing
---@field clock moongate.testing.clock
local testing = {}

--- Runs a handler on one end of a socket pair; what is returned is the other end. Fields of the context may be given:
--- client_ip, client_port and port are then the connection's too. What the handler raises fails the test, with the
--- handler's line: at the next call of a method, or when the test ends.
---@param handler moongate.Handler|moongate.Route a function, what can be called like one, or a route with a handler
---@param context? table
---@return moongate.testing.Call
function testing.call(handler, context) end

--- Starts a moongate in this process. `routes`: a route or a list of routes, whose functions run in the spec's own state
--- with their upvalues; or the path of a route file (the same), or of a directory (as `moongate run` loads it). All
--- ports are given by the kernel. Raises with the faults when it can't. `quiet`: what it logs as an error is not shown
--- when nobody has read the log.
---@param options { routes: moongate.Route|moongate.Route[]|string, config?: moongate.Config, quiet?: boolean }
---@return moongate.testing.Moongate
function testing.start(options) end

--- The routes of a file, loaded and checked as `moongate run` would, in the spec's own state: a list, and by name. Raises
--- with the faults.
---@param path string
---@return table<integer|string, moongate.Route>
function testing.load(path) end

--- Which of some routes a connection would take, and why: the choice that a worker makes. `routes` as in start();
--- `when` is asked with the question as its context. `tls` is true for port 443 unless it is said.
---@param routes moongate.Route|moongate.Route[]|string
---@param question { port: integer, domain?: string, client_ip?: string, tls?: boolean, tls_version?: string, path?: string, headers?: table }
---@return moongate.testing.Match
function testing.match(routes, question) end

---@class moongate.testing.Match as a text: the route, and a line for each candidate
---@field route string? the name; nil: none matches
---@field listens boolean some route has the port
---@field candidates moongate.testing.Candidate[] those that match, in the order of choice, then the others

---@class moongate.testing.Candidate
---@field route string
---@field verdict "chosen"|"when"|"outranked"|"address"|"tls"|"domains"|"client_ip"|"tls_version" the clause that turned it down
---@field reason string? in a sentence's words
---@field tie string? of those that match: what decided between it and the one before
---@field domain string? of its domains, the one that matches
---@field client_ip string? likewise

--- The spec's end: the methods of a socket, and what has become of the handler.
---@class moongate.testing.Call: moongate.Socket
---@field finished boolean the handler has returned or raised, or its connection is gone
---@field error any what the handler has raised; who reads it expects it: the test does not fail for it
---@field context moongate.Context? as the handler got it
---@field socket moongate.Socket the socket itself
local Call = {}

--- Waits until the handler is finished; returns what it returned, or nil and "timeout". Raises what it raised.
---@param timeout? number|string default 10 seconds
---@return any ...
function Call:wait(timeout) end

---@class moongate.testing.Moongate
local Moongate = {}

--- The port that stands for the route's first, or for the one that the route calls `wanted`.
---@param route string
---@param wanted? integer
---@return integer
function Moongate:port(route, wanted) end

--- Connects to a route, by its name or by a port that a route says; with client_ip as a client from that address, for
--- whom limits, lists and PROXY headers are as for a real one. Raises when it can't.
---@param route string|integer
---@param options? { timeout?: number|string, wanted?: integer, client_ip?: string, client_port?: integer }
---@return moongate.Socket
function Moongate:connect(route, options) end

--- One HTTP request on a connection of its own. The host of the URL is sent, not resolved; its port is one that a route
--- says. Names of header fields are lower case in the answer.
---@param url string
---@param options? { method?: string, headers?: table<string, string>, body?: string, timeout?: number|string }
---@return { status: integer, reason: string, headers: table<string, string>, body: string }? answer
---@return string? err
function Moongate:get(url, options) end

--- What it has counted, by the sample's name and labels as /metrics writes them.
---@return table<string, number>
function Moongate:metrics() end

--- As `moongate status --json`.
---@return table
function Moongate:status() end

---@return integer open connections
function Moongate:connections() end

--- The lines that it has logged, also after it was stopped.
---@return string[]
function Moongate:log() end

--- Stops it and waits for that: at once, or with so much time for connections to finish.
---@param drain? number|string
function Moongate:stop(drain) end

---@class moongate.testing.clock
local clock = {}

--- Moves the clock of this process, from timer to timer: Lua's and the C core's. What is due has its turn before this
--- returns.
---@param duration number|string
function clock.advance(duration) end

--- Seconds since the epoch, by this clock; as moongate.now().
---@return number
function clock.now() end

return testing

-- SPDX-License-Identifier: MIT
--
-- The scenarios of `bench/run tcp`: what is done to each proxy, what it costs, and what moongate has to reach. A
-- scenario's `measure` gets the driver's tools and one running proxy, and returns { cost, rate, p99_ms, busy }, or nil
-- and what went wrong. `rounds` are those of a whole run and of a quick one.

local process = require "process"
local proxies = require "proxies"

local function per_unit(figures, factor)
  return {
    cost = figures.cpu_seconds / figures.units * factor,
    rate = figures.rate,
    p99_ms = figures.p99_us and figures.p99_us / 1000,
    busy = figures.cpu_seconds / figures.seconds * 100,
  }
end

local function load(...)
  local extra = { ... }
  return function(tools, proxy)
    local figures, err = tools.run({
      "load", "--port", proxy.port, "--watch", proxy.pid, "--warm-ms", tools.quick and 200 or 300,
      "--milliseconds", tools.quick and 800 or 1800, unpack(extra),
    }, 20)
    if not figures then
      return nil, err
    end
    return per_unit(figures, 1e6)
  end
end

local function bulk(tools, proxy)
  local bytes = (tools.quick and 1 or 2) * 2 ^ 30
  local warmed, warm_err = tools.run({ "bulk", "--port", proxy.port, "--bytes", 2 ^ 26 }, 20)
  if not warmed then
    return nil, warm_err
  end
  local figures, err = tools.run({ "bulk", "--port", proxy.port, "--watch", proxy.pid, "--bytes", ("%d"):format(bytes),
    "--connections", 4, "--limit-ms", 20000 }, 25)
  if not figures then
    return nil, err
  end
  return per_unit(figures, 1)
end

-- One request first, so that what a process takes once is not counted. The rest is given time to settle on both sides.
local function idle(tools, proxy)
  local connections = tools.quick and 4000 or 8000
  local warmed, warm_err = tools.run({ "load", "--port", proxy.port, "--connections", 1, "--milliseconds", 20 }, 10)
  if not warmed then
    return nil, warm_err
  end
  process.sleep(0.3)
  local before = process.memory(proxy.pid)
  local holder = tools.start { "hold", "--port", proxy.port, "--connections", connections, "--limit-ms", 20000 }
  local line, err = process.read(holder, 20, true)
  if not line or not line:find "units" then
    process.stop(holder)
    return nil, err or "the connections could not all be opened"
  end
  process.sleep(0.7)
  local after = process.memory(proxy.pid)
  if not process.finish(holder, 10) then
    return nil, "a held connection was lost"
  end
  return { cost = (after - before) / connections }
end

local function rate(title, format)
  return { title = title, field = "rate", format = format }
end

local p99 = { title = "p99 ms", field = "p99_ms", format = "%.2f" }
local busy = { title = "core busy", field = "busy", format = "%.0f %%" } -- what the proxy had of its core

return {
  {
    name = "small requests",
    title = "Small requests: 64 connections with keep-alive, 128 bytes each",
    cost_title = "CPU µs a request", cost_format = "%.2f", beside = { rate("requests/s", "grouped"), p99, busy },
    proxies = { "moongate", "haproxy", "nginx", "floor" }, peers = { "haproxy", "nginx" }, floor = "floor",
    measure = load("--connections", 64), rounds = { 5, 3 },
    targets = { { against = "peers", bound = 1.00, goal = 0.92 }, { against = "floor", goal = 1.08 } },
  },
  {
    name = "bulk",
    title = "Bulk: 4 connections that download",
    cost_title = "CPU s a GiB", cost_format = "%.3f", beside = { rate("GiB/s", "%.2f"), busy },
    proxies = { "moongate", "haproxy splice", "haproxy splice-auto", "nginx", "floor --splice", "floor" },
    peers = { "haproxy splice", "haproxy splice-auto", "nginx" }, floor = "floor --splice",
    measure = bulk, rounds = { 5, 3 },
    targets = { { against = "haproxy splice", bound = 1.00, goal = 0.95 } },
  },
  {
    name = "new connections",
    title = "New connections: 64 at a time, one request each",
    cost_title = "CPU µs each", cost_format = "%.1f", beside = { rate("connections/s", "grouped"), p99, busy },
    proxies = { "moongate", "haproxy", "nginx", "floor" }, peers = { "haproxy", "nginx" }, floor = "floor",
    measure = load("--connections", 64, "--new"), rounds = { 5, 3 },
    targets = { { against = "peers", bound = 1.00, goal = 0.97 } },
  },
  {
    name = "new PROXY",
    title = "New connections with a PROXY header, received and sent on, beside the same without: 64 at a time",
    cost_title = "CPU µs each", cost_format = "%.1f", beside = { rate("connections/s", "grouped"), p99, busy },
    proxies = { "moongate", "moongate without", "haproxy", "haproxy without", "nginx", "nginx without" },
    peers = { "haproxy", "nginx" },
    makes = {
      moongate = proxies["moongate PROXY"], ["moongate without"] = proxies.moongate,
      haproxy = proxies["haproxy PROXY"], ["haproxy without"] = proxies.haproxy,
      nginx = proxies["nginx PROXY"], ["nginx without"] = proxies.nginx,
    },
    measure = function(tools, proxy)
      return load("--connections", 64, "--new", not proxy.name:find "without" and "--proxy" or nil)(tools, proxy)
    end,
    rounds = { 9, 3 },
    targets = { { against = "moongate without", bound = 1.08, goal = 1.04 }, { against = "peers", goal = 1.00 } },
  },
  {
    name = "idle memory",
    title = "Idle memory: forwarded connections that have had one request",
    cost_title = "B a connection", cost_format = "grouped",
    proxies = { "moongate", "haproxy", "nginx" }, peers = { "haproxy", "nginx" },
    measure = idle, rounds = { 3, 1 },
    targets = { { against = "nothing", bound = 2048, goal = 1200 } },
  },
}

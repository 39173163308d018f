-- SPDX-License-Identifier: MIT
--
-- The scenarios of `bench/run swap`: one of 10,000 routes changes while clients are served. How long until it answers
-- anew, what the others feel of it, and what a thousand such changes leave behind.

local dirent = require "posix.dirent"
local cjson = require "cjson"
local process = require "process"
local swap_proxies = require "swap_proxies"

-- What moongate waits for after the last event of a save (WATCHER_QUIET_MS in runtime/reload/watcher.h).
local DEBOUNCE_MS = 50

local FILES, ROUTES = 100, 100

local function median(values)
  table.sort(values)
  return values[math.ceil(#values / 2)]
end

local function descriptors(pid)
  return #dirent.dir(("/proc/%d/fd"):format(pid)) - 2
end

-- Asks until the answer is that version: how long it took, in ms since `began`; nil and what went wrong.
local function await_version(proxy, version, began)
  local request = ("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"):format(proxy.more.host or "bench.test")
  local answer
  while process.now() < began + 20 do
    answer = process.ask(proxy.more.ask_port, request, 5)
    if answer and answer:sub(-#version - 1):find("%f[%w]" .. version .. "%s*$") then
      return (process.now() - began) * 1000
    end
    process.sleep(0.001)
  end
  return nil, ("%s is not live after 20 s; the last answer: %s"):format(version, tostring(answer):sub(-100))
end

-- Clients on the forwarding port: one program with connections that stay, one with new ones.
local function load_start(tools, proxy, milliseconds, stays_only)
  local running = {
    tools.start { "load", "--port", proxy.port, "--connections", 16, "--warm-ms", 300, "--milliseconds", milliseconds },
  }
  if not stays_only then
    running[2] = tools.start { "load", "--port", proxy.port, "--connections", 2, "--new", "--warm-ms", 300,
      "--milliseconds", milliseconds }
  end
  return running
end

-- What they counted: { p99_ms (of those that stay), failed, rate }; nil and what went wrong.
local function load_finish(running, seconds)
  local sum = { failed = 0 }
  for i, client in ipairs(running) do
    local text, err = process.read(client, seconds)
    process.finish(client, 2)
    local fine, figures = pcall(cjson.decode, text or "")
    if not fine then
      return nil, err or "the load program ended early"
    end
    sum.failed = sum.failed + figures.errors
    sum.first_error = sum.first_error or (figures.errors > 0 and figures.first_error or nil)
    if i == 1 then
      sum.p99_ms, sum.rate = figures.p99_us / 1000, figures.rate
    end
  end
  return sum
end

local function live(tools, proxy)
  local ready, ready_err = await_version(proxy, "v0", proxy.started)
  if not ready then
    return nil, ready_err
  end
  local quiet, quiet_err = load_finish(load_start(tools, proxy, tools.quick and 1000 or 2500), 30)
  if not quiet then
    return nil, quiet_err
  end
  local window = tools.quick and 2500 or 6000
  local clients = load_start(tools, proxy, window)
  local due, times = process.now() + 0.3 + window / 1000, {}
  process.sleep(0.3)
  while process.now() < due do
    local version, began = "v" .. #times + 1, process.now()
    proxy.more.save(version, proxy.pid)
    local took, err = await_version(proxy, version, began)
    if not took then
      return nil, err
    end
    times[#times + 1] = took
  end
  local swapped, load_err = load_finish(clients, 30)
  if not swapped then
    return nil, load_err
  elseif swapped.first_error then
    print(("  %s: a request failed: %s"):format(proxy.name, swapped.first_error))
  end
  local cost = median(times)
  return {
    cost = cost,
    after_debounce = cost - DEBOUNCE_MS,
    worst = times[#times],
    start = ready / 1000,
    swaps = #times,
    before = quiet.p99_ms,
    during = swapped.p99_ms,
    p99_ratio = swapped.p99_ms / quiet.p99_ms,
    failed = quiet.failed + swapped.failed,
  }
end

-- The least of some looks: what is there for a moment only is not what is left behind.
local function memory_settled(pid)
  local least = math.huge
  for _ = 1, 20 do
    least = math.min(least, process.memory(pid))
    process.sleep(0.05)
  end
  return least
end

local function endure(tools, proxy)
  local ready, ready_err = await_version(proxy, "v0", proxy.started)
  if not ready then
    return nil, ready_err
  end
  local swaps, due = tools.quick and 100 or 1000, process.now() + (tools.quick and 30 or 170)
  local clients, ends, failed, memory, fds, done = nil, 0, 0, nil, nil, 0
  while done < swaps and process.now() < due do
    if process.now() > ends then
      if clients then
        local counted, load_err = load_finish(clients, 10)
        if not counted then
          return nil, load_err
        end
        failed = failed + counted.failed
      end
      clients, ends = load_start(tools, proxy, 20000, true), process.now() + 20.3
    end
    done = done + 1
    proxy.more.save("v" .. done, proxy.pid)
    local took, err = await_version(proxy, "v" .. done, process.now())
    if not took then
      return nil, err
    end
    if done == 10 then
      memory, fds = memory_settled(proxy.pid), descriptors(proxy.pid)
    end
  end
  local left, left_fds = memory_settled(proxy.pid), descriptors(proxy.pid)
  local counted, err = load_finish(clients, 30)
  if not counted then
    return nil, err
  elseif done < swaps then
    print(("  the time was up after %d swaps"):format(done))
  end
  return {
    cost = left / memory,
    at_10 = memory / 2 ^ 20,
    at_end = left / 2 ^ 20,
    fds_10 = fds,
    fds_more = math.abs(left_fds - fds),
    swaps = done,
    failed = failed + counted.failed,
  }
end

local function column(title, field, format)
  return { title = title, field = field, format = format }
end

local whole = { files = FILES, routes = ROUTES }

return {
  seconds = { 330, 85 }, -- at most: whole, quick
  {
    name = "hot swap",
    title = "Hot swap: one of 100 files that hold 10,000 routes, a function in each, is saved again and again",
    cost_title = "ms save to live", cost_format = "%.0f",
    beside = {
      column("worst", "worst", "%.0f"), column("start s", "start", "%.2f"), column("swaps", "swaps", "%.0f"),
      column("p99 ms quiet", "before", "%.2f"), column("p99 ms swaps", "during", "%.2f"),
      column("failed", "failed", "%.0f"),
    },
    proxies = { "moongate", "haproxy", "nginx" }, peers = { "haproxy", "nginx" },
    makes = {
      moongate = swap_proxies.moongate(whole),
      haproxy = swap_proxies.haproxy(whole),
      nginx = swap_proxies.nginx(whole),
    },
    measure = live, rounds = { 3, 1 },
    targets = {
      { against = "nothing", field = "after_debounce", title = "ms save to live, less the debounce", goal = 150 },
      { against = "nothing", field = "p99_ratio", title = "p99 during swaps / quiet", goal = 2, digits = 2 },
      { against = "nothing", field = "failed", title = "failed requests", bound = 0 },
    },
  },
  {
    name = "swaps left behind",
    title = "What swaps leave behind: moongate after 1,000 of them under load (--quick: 100), against after the 10th",
    cost_title = "memory ratio", cost_format = "%.3f",
    beside = {
      column("swaps", "swaps", "%.0f"), column("MiB after 10", "at_10", "%.1f"), column("MiB at end", "at_end", "%.1f"),
      column("descriptors", "fds_10", "%.0f"), column("more or less", "fds_more", "%.0f"),
      column("failed", "failed", "%.0f"),
    },
    proxies = { "moongate" }, peers = {},
    makes = { moongate = swap_proxies.moongate(whole) },
    measure = endure, rounds = { 1, 1 },
    targets = {
      { against = "nothing", title = "memory at end / after 10", goal = 1.02, digits = 3 },
      { against = "nothing", field = "fds_more", title = "descriptors more or less", goal = 0 },
      { against = "nothing", field = "failed", title = "failed requests", bound = 0 },
    },
  },
}

-- SPDX-License-Identifier: MIT
--
-- moongate.metrics and moongate.log: what scripts make, and what they read of the runtime.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("moongate.metrics", function()
  after_each(moongate.finish)

  local ask = net.ask

  local function shell(top)
    return ([[
      %s
      return { name = "shell", match = { ports = 0 }, action = { handler = function(socket)
        for line in socket:lines() do
          local values = { pcall(assert(load(line, "=line"))) }
          for i = 1, table.maxn(values) do values[i] = tostring(values[i]) end
          socket:send((table.concat(values, " ", 2):gsub("\n.*", "")) .. "\n")
        end
      end } }
    ]]):format(top)
  end

  it("sums counters, gauges and histograms of all workers and versions", function()
    local text = shell [[
      visits = moongate.metrics.counter("shop_visits_total", "Visits.", { "page", "kind" })
      stock = moongate.metrics.gauge("shop_stock", "Stock.")
      took = moongate.metrics.histogram("shop_seconds", "Took.", { "page" }, { 0.1, 1 })
    ]]
    local m = moongate.start { workers = 2, routes = { ["a.lua"] = text } }
    for _ = 1, 6 do
      local client = net.connect(m:port "shell")
      ask(client, "return visits:inc(1, { 'a\"b', kind = 'x' }), visits:inc(2, { 'c', true })")
      client:close()
    end
    local client = net.connect(m:port "shell")
    assert.are.equal("true true true", ask(client, "return stock:set(7.5), stock:dec(), stock:inc(0.25)"))
    ask(client, "for _, s in ipairs { 0.05, 0.1, 0.5, 3 } do took:observe(s, { 'p' }) end")
    m:write("a.lua", text .. "-- changed")
    m:await_generation(2)
    ask(net.connect(m:port "shell"), "visits:inc(1, { page = 'c', kind = true })")
    local metrics = m:metrics()
    assert.are.equal(6, metrics[ [[shop_visits_total{page="a\"b",kind="x"}]] ])
    assert.are.equal(13, metrics['shop_visits_total{page="c",kind="true"}'])
    assert.are.equal(6.75, metrics.shop_stock)
    assert.are.equal(2, metrics['shop_seconds_bucket{page="p",le="0.1"}'])
    assert.are.equal(3, metrics['shop_seconds_bucket{page="p",le="1"}'])
    assert.are.equal(4, metrics['shop_seconds_bucket{page="p",le="+Inf"}'])
    assert.are.equal(4, metrics['shop_seconds_count{page="p"}'])
    assert.are.equal(3.65, metrics['shop_seconds_sum{page="p"}'])
    local _, page = m:get "/metrics"
    assert.truthy(page:find("# HELP shop_stock Stock.\n# TYPE shop_stock gauge\n", 1, true))
  end)

  it("bounds the series, and counts what is lost", function()
    local m = moongate.start {
      config = "limits = { metric_series = 3 }",
      routes = shell 'users = moongate.metrics.counter("users", "", { "name" })',
    }
    local client = net.connect(m:port "shell")
    local answer = ask(client, "local t = {} for i = 1, 5 do t[i] = tostring(users:inc(1, { i })) end "
      .. "return table.concat(t, ' '), select(2, users:inc(1, { 'more' }))")
    assert.are.equal("true true true nil nil too many series", answer)
    assert.are.equal(3, m:metric "script_series_dropped_total")
  end)

  it("raises for what no metric can be", function()
    local m = moongate.start { routes = shell 'c = moongate.metrics.counter("c", "", { "a" })' }
    local client = net.connect(m:port "shell")
    for line, message in pairs {
      ["moongate.metrics.counter('1c')"] = "the name of a metric expected",
      ["moongate.metrics.gauge('moongate_x')"] = "the runtime's own",
      ["moongate.metrics.gauge('c', '', { 'a' })"] = "there is a metric 'c' already",
      ["moongate.metrics.counter('c')"] = "there is a metric 'c' already",
      ["moongate.metrics.counter('d', '', { 'le' })"] = "names of labels expected",
      ["moongate.metrics.counter('d', '', { 'a', 'a' })"] = "stands there twice",
      ["moongate.metrics.histogram('h', '', {}, { 2, 1 })"] = "each greater than",
      ["c:inc(-1, { 'x' })"] = "a number of 0 or more",
      ["c:inc(0/0, { 'x' })"] = "a number of 0 or more",
      ["c:inc(1)"] = "the values of its labels",
      ["c:inc(1, {})"] = "the label 'a'",
      ["c.inc(1)"] = "bad argument self to 'counter:inc'",
    } do
      local answer = ask(client, line)
      assert.truthy(answer:find(message, 1, true), line .. ": " .. answer)
      assert.truthy(answer:find("line:1: ", 1, true), answer)
    end
  end)

  it("reads what the runtime counts, over all workers", function()
    local m = moongate.start { workers = 2, routes = shell "" }
    local client = net.connect(m:port "shell")
    local others = {}
    for i = 1, 4 do
      others[i] = net.connect(m:port "shell")
      ask(others[i], "return 1")
    end
    assert.are.equal("5 5 5", ask(client, "local c = moongate.metrics.connections "
      .. "return c.active(), c.total(), c.by_route().shell"))
    local bytes_in = m:metric 'bytes_total{direction="in"}'
    local answer = ask(client, "local t = moongate.metrics.totals return t.bytes_in(), t.bytes_out(), t.connections()")
    local now_in, out, total = answer:match "^(%d+) (%d+) (%d+)$"
    assert.truthy(tonumber(now_in) > bytes_in and tonumber(out) > 0)
    assert.are.equal("5", total)
    assert.truthy(ask(client, "moongate.metrics.throughput.instant()"):find("line:1: .*not in this version"))
  end)

  it("tells who has connections open, of addresses that are kept and of others", function()
    local m = moongate.start {
      config = "metrics = { top_ips = 2 },",
      routes = shell "",
    }
    local one = net.connect(m:port "shell", { from = "127.0.0.2" })
    local open = { one, net.connect(m:port "shell", { from = "127.0.0.2" }) }
    for i = 3, 5 do
      open[#open + 1] = net.connect(m:port "shell", { from = "127.0.0." .. i })
      ask(open[#open], "return 1")
    end
    local answer = ask(one, "local by = moongate.metrics.connections.by_ip() return by['127.0.0.2'], by['127.0.0.3'], "
      .. "by['127.0.0.4'], by['(other)']")
    assert.are.equal("2 1 nil 2", answer)
    assert.are.equal("1 127.0.0.2 2", ask(one, "local top = moongate.metrics.connections.top(1) "
      .. "return #top, top[1].ip, top[1].connections"))
    assert.are.equal("2 127.0.0.3 1 true", ask(one, "local top = moongate.metrics.connections.top() "
      .. "return #top, top[2].ip, top[2].connections, top[1].bytes_in > top[2].bytes_in"))
    assert.truthy(ask(one, "moongate.metrics.connections.top(0)"):find "line:1: .*a whole number from 1 expected")
  end)

  it("can be asked by many at once, and by those that go meanwhile", function()
    local m = moongate.start {
      workers = 2,
      routes = moongate.front(
        [[handler = function(socket)
          for _ = 1, 20 do moongate.spawn(function() moongate.metrics.totals.bytes_in() end) end
          socket:send(moongate.metrics.connections.total() .. "\n")
        end]]
      ),
    }
    for _ = 1, 100 do
      net.connect(m:port "front"):reset()
    end
    assert.truthy(net.connect(m:port "front"):receive_line():find "^%d+$")
    m:await_idle()
  end)
end)

describe("moongate.log", function()
  after_each(moongate.finish)

  it("writes no more than limits.log_lines, and says how many it left out", function()
    local m = moongate.start {
      config = "limits = { log_lines = 5 }",
      routes = moongate.front [[handler = function(socket)
        for i = 1, 10000 do moongate.log.info("flood", { i = i }) end
        socket:receive()
        moongate.log.warn("afterwards")
      end]],
    }
    local client = net.connect(m:port "front")
    m:await_log "flood.* i=50\n"
    process.wait_for(function()
      client = net.connect(m:port "front")
      client:send "x\n"
      client:receive_all()
      return m:log():find("afterwards", 1, true)
    end)
    local line = m:await_log "[^\n]*lines of moongate.log were left out[^\n]*"
    assert.truthy(tonumber(line:match "lines=(%d+)") >= 9000, line)
    assert.truthy(line:find("file=routes.lua", 1, true))
    local _, lines = m:log():gsub("flood", "")
    assert.truthy(lines < 500, lines)
  end)
end)

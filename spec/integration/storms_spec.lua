-- SPDX-License-Identifier: MIT
--
-- What connections used to pile up of: thousands that come and go at once, back ends that refuse, are not there, or say
-- nothing, a proxy in the middle that dies. In a chain of two moongates, and every time nothing is left in either of
-- them, within the time that the timeouts say.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"
local resource = require "posix.sys.resource"

-- With MOONGATE_SLOW=1 all are as large as they may become; else they leave the ports of the machine to other specs.
local SLOW = os.getenv "MOONGATE_SLOW"

-- Of a drop: a connection is two descriptors of either moongate.
local MANY = math.min(SLOW and 5000 or 1000, math.floor(resource.getrlimit(resource.RLIMIT_NOFILE).rlim_max / 3))

describe("in a chain of two", function()
  local inner, outer, inner_space

  setup(function()
    local limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, { rlim_cur = limits.rlim_max, rlim_max = limits.rlim_max })
  end)

  after_each(moongate.finish)

  local function start(target, timeouts)
    local port = net.free_ports(1, "127.0.0.1")
    local wanted = ("timeouts = { shutdown = '2s', linger = '2s', %s },"):format(timeouts or "")
    inner_space = moongate.workspace {
      workers = 2,
      config = wanted .. 'proxy_protocol = { trusted = { "127.0.0.1" }, accept = true, timeout = "10s" },',
      routes = ([[return { name = "inner", match = { ports = %d, address = "127.0.0.1" },
        action = { target = "127.0.0.1:%d" } }]]):format(port, target),
    }
    inner = moongate.start { space = inner_space }
    outer = moongate.start {
      workers = 2,
      config = wanted,
      routes = moongate.front(("target = '127.0.0.1:%d', send_proxy_protocol = 2"):format(port)),
    }
  end

  -- Runs `storm` of `count` connections, and then nothing is left, within `seconds`.
  local function expect_calm_after(seconds, storm, count)
    storm(20) -- what is made once is made now
    outer:await_idle(20)
    inner:await_idle(20)
    local before = { outer = { outer:fds(), outer:rss() }, inner = { inner:fds(), inner:rss() } }
    storm(count or SLOW and 1000 or 300)
    local since = process.now()
    outer:await_idle(seconds)
    inner:await_idle(seconds)
    for name, m in pairs { outer = outer, inner = inner } do
      process.wait_for(function()
        return m:fds() <= before[name][1]
      end, 30, ("%s to have %d descriptors again, kernel pipes included"):format(name, before[name][1]))
      for sample, value in pairs(m:metrics()) do
        if sample:find "^moongate_route_active_connections" or sample:find "^moongate_connections_by_state{state=" then
          assert.are.equal(0, value, name .. " " .. sample)
        end
      end
      local grown = (m:rss() - before[name][2]) / 2 ^ 20
      if os.getenv "MOONGATE_FIGURES" then
        print(("# %s: calm after %.2f s, %d descriptors, %.1f MiB more"):format(
          name, process.now() - since, m:fds(), grown
        ))
      end
      assert.is_true(moongate.sanitized or grown < 8, ("%s: %.1f MiB more"):format(name, grown))
    end
  end

  local function clients(kinds, more)
    return function(count)
      local options = { port = outer:port "front", connections = count, parallel = 50, kinds = kinds }
      for key, value in pairs(more or {}) do
        options[key] = value
      end
      return peers.clients(options, 120)
    end
  end

  it("1,000 that connect and leave at once leave nothing", function()
    start(peers.server().port)
    local sizes = { up = { 0, "10k" }, down = { 1, "100k" } }
    expect_calm_after(10, clients("leave,reset,leave,abandon,exchange", sizes), 1000)
  end)

  it("a back end that refuses leaves nothing", function()
    start(net.refusing_port())
    expect_calm_after(10, clients "leave,reset,exchange")
    assert.is_true(inner:metric 'connection_terminations_total{side="target",reason="refused"}' > 0)
  end)

  it("a back end that closes or resets at once leaves nothing", function()
    start(peers.server("reset").port)
    expect_calm_after(10, clients "leave,reset,exchange")
  end)

  it("a back end that answers no SYN leaves nothing for longer than timeouts.connect", function()
    start(net.blackhole(), "connect = '1s'")
    expect_calm_after(10, clients("leave,reset,leave,leave,leave,leave,leave,leave,leave,exchange", { parallel = 200 }))
    assert.is_true(inner:metric 'connection_terminations_total{side="target",reason="connect_timeout"}' > 0)
  end)

  it("a back end that says nothing leaves nothing for longer than timeouts.idle", function()
    start(peers.server("silent").port, "idle = '1s', half_dead = '1s'")
    expect_calm_after(10, clients("leave,reset,exchange,half", { parallel = 200 }))
  end)

  it("the inner one killed and started again under load leaves nothing, and is used again", function()
    start(peers.server().port)
    expect_calm_after(10, function(count)
      local options = { up = { 0, "10k" }, down = { 1, "300k" }, parallel = 20, connections = count }
      options.port, options.kinds = outer:port "front", "exchange"
      local load = peers.start_clients(options)
      process.wait_for(function()
        return not load.process:alive() or outer:metric "active_connections" > 0
      end)
      inner.may_fail = true
      inner:stop "SIGKILL"
      load.finish(120)
      inner = moongate.start { space = inner_space }
    end)
    local counted = clients "exchange"(50)
    assert.are.equal(0, counted.failed, counted.errors)
  end)

  it("thousands that are dropped in the same instant are gone at once", function()
    local server = peers.server "silent"
    start(server.port)
    expect_calm_after(10, function(count)
      local port, opened = outer:port "front", {}
      for i = 1, count do
        opened[i] = assert(net.connect(port))
        opened[i]:send "x"
      end
      outer:await_metric('connections_by_state{state="forwarding"}', count, 60)
      inner:await_metric('connections_by_state{state="forwarding"}', count, 60)
      for i, client in ipairs(opened) do
        if i % 2 == 0 then
          client:reset()
        else
          client:close()
        end
      end
    end, MANY)
  end)
end)

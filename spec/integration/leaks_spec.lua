-- SPDX-License-Identifier: MIT
--
-- Thousands of connections, each kind of bad day mixed in: afterwards descriptors, pipes and memory are back where they
-- were. With MOONGATE_SLOW=1 it is 20,000 of them.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local rounds = os.getenv "MOONGATE_SLOW" and 20000 or 2000

describe("after thousands of connections", function()
  after_each(moongate.finish)

  -- One dose of everything; `scale` of the rounds.
  local function dose(m, scale)
    local function clients(name, part, kinds, more)
      local count = math.max(1, math.floor(rounds / part * scale))
      local options = { port = m:port(name), connections = count, parallel = 4, kinds = kinds }
      for key, value in pairs(more or {}) do
        options[key] = value
      end
      return peers.start_clients(options)
    end
    local sizes = { up = { 0, 1, 3000, "100k" }, down = { 1, 70000, 0, "600k", 20 } }
    local checked = {
      clients("front", 2, "exchange,leave,half,reset,exchange,abandon", sizes),
      clients("lua", 10, "exchange,leave,half,reset,abandon", sizes),
      clients("echo", 10, "echo,leave,reset", sizes),
    }
    local unchecked = {}
    for _, name in ipairs { "refused", "closing", "resetting", "raising", "nameless" } do
      unchecked[#unchecked + 1] = clients(name, 25, "leave,reset,exchange")
    end
    unchecked[#unchecked + 1] = clients("blackhole", 100, "leave,reset,exchange", { parallel = 16 })
    for _, run in ipairs(checked) do
      local counted = run.finish(240)
      assert.are.equal(0, counted.failed, counted.errors)
    end
    for _, run in ipairs(unchecked) do
      run.finish(240)
    end
    m:await_idle(30)
  end

  it("everything is back where it was", function()
    local server, closing, resetting = peers.server(), peers.server "close", peers.server "reset"
    local m = moongate.start {
      workers = 2,
      config = "timeouts = { connect = '300ms', linger = '1s', shutdown = '2s' }",
      routes = ([[
        local function route(name, target)
          return { name = name, match = { ports = 0 }, action = { target = "127.0.0.1:" .. target } }
        end
        return {
          route("front", %d), route("closing", %d), route("resetting", %d), route("refused", %d),
          route("blackhole", %d),
          { name = "nameless", match = { ports = 0 }, action = { target = "nowhere.invalid:80" } },
          { name = "echo", match = { ports = 0 }, action = { handler = moongate.handlers.echo() } },
          { name = "lua", match = { ports = 0 }, action = { handler = moongate.handlers.proxy("127.0.0.1", %d) } },
          { name = "raising", match = { ports = 0 }, action = { handler = function() error "as ever" end } },
        }]]):format(server.port, closing.port, resetting.port, net.refusing_port(), net.blackhole(), server.port),
    }
    dose(m, 0.25) -- what is made once is made now: pools, arenas, the library's tables
    local fds, rss = m:fds(), m:rss()
    dose(m, 1)
    process.wait_for(function()
      return m:fds() <= fds
    end, 30, ("%d descriptors to become %d again"):format(m:fds(), fds))
    if not moongate.sanitized then
      assert.truthy(m:rss() - rss < 6 * 1024 * 1024, ("%d KiB more than before"):format((m:rss() - rss) / 1024))
    end
    assert.are.equal(0, m:metric "active_connections")
    for name, value in pairs(m:metrics()) do
      if name:find "^moongate_route_active_connections" or name:find "^moongate_connections_by_state{state=" then
        assert.are.equal(0, value, name)
      end
    end
    -- Still in its right mind.
    local counted = peers.clients { port = m:port "front", connections = 10, up = "10k", down = "10k" }
    assert.are.equal(0, counted.failed, counted.errors)
    assert.are.equal(0, m:stop())
  end)
end)

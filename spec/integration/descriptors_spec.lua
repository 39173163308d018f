-- SPDX-License-Identifier: MIT
--
-- No descriptors left: new clients are refused politely and counted, those that are there go on, and all is well again
-- as soon as some have left.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("without a descriptor left", function()
  after_each(moongate.finish)

  it("refuses clients, counts them, keeps what runs, and recovers", function()
    local target = net.listen()
    local m = moongate.start {
      workers = 1,
      nofile = 80,
      routes = moongate.front(target:port()),
    }
    local port = m:port "front"
    local clients = {}
    local first = net.connect(port)
    first:send "x"
    local first_served = target:accept()
    assert.are.equal("x", (first_served:receive(1)))
    local before = m:fds()

    for i = 1, 120 do
      clients[i] = net.connect(port)
    end
    -- The refused ones learn it: an end or a reset, not silence.
    local refused = 0
    process.wait_for(function()
      for i, client in pairs(clients) do
        local _, how = client:receive(1, 0)
        if how == "end" or how == "reset" then
          client:close()
          clients[i] = nil
          refused = refused + 1
        end
      end
      return refused >= 70
    end, 20, "most clients to be refused")
    -- Who looks, and who changes something, has some left.
    for _ = 1, 20 do
      assert.are.equal(80, m:status().descriptors.limit)
    end
    local generation = m:generation()
    m:write("more.lua", "return { name = 'more', match = { ports = 0 }, action = { target = 'localhost:1' } }")
    m:await_generation(generation + 1)
    assert.is_true(m:fds() < 80)
    m:delete "more.lua"
    m:await_generation(generation + 2)
    first:send "y"
    assert.are.equal("y", (first_served:receive(1)))
    assert.truthy(m.process:alive())

    for _, client in pairs(clients) do
      client:close()
    end
    process.wait_for(function()
      local one = target:accept(0.05)
      if one then
        one:close()
        return false
      end
      local status, body = m:get "/metrics"
      return status == 200 and body:find "\nmoongate_active_connections 1\n"
    end, 20, "all but the first to have gone")
    assert.truthy(m:metric 'errors_total{type="no_descriptors"}' >= 70)
    process.wait_for(function()
      return m:fds() <= before
    end, 30, "descriptors to be closed")

    for _ = 1, 20 do
      local client = assert(net.connect(port))
      client:send "again"
      local one = assert(target:accept())
      assert.are.equal("again", (one:receive(5)))
      client:close()
      one:close()
    end
    first:send "z"
    assert.are.equal("z", (first_served:receive(1)))
    assert.truthy(select(2, m:log():gsub("descriptor", "")) <= 2 * 40, "it is said once a second at most")
  end)
end)

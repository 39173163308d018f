-- SPDX-License-Identifier: MIT
--
-- Names of targets with several addresses, of which the first does not answer or refuses (RFC 8305, 5), for routes and
-- for moongate.connect.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("a name with several addresses", function()
  after_each(moongate.finish)

  -- By name: see name_server.lua.
  local function name_server(zone)
    local directory = process.directory()
    process.write(directory .. "/zone.lua", "return { " .. zone .. " }")
    local server = process.start { "luajit", "spec/support/name_server.lua", directory }
    local port = process.wait_for(function()
      assert(server:alive(), server:err())
      return server:out():match "^(%d+)\n"
    end, 10, "the name server")
    return "127.0.0.1:" .. port
  end

  local function start(zone, port)
    return moongate.start {
      workers = 2,
      config = ("dns = { servers = %q },"):format(name_server(zone)),
      routes = ([[return {
        { name = "front", match = { ports = 0 }, action = { target = "db.test.:%d", send_proxy_protocol = true } },
        { name = "asks", match = { ports = 0 }, action = { handler = function(socket)
          local peer, err = moongate.connect("db.test.", %d)
          socket:send(peer and peer:getpeername() .. "\n" or err .. "\n")
        end } },
      }]]):format(port, port),
    }
  end

  local function expect_all_served(m, target)
    for _ = 1, 3 do
      local began, client = process.now(), assert(net.connect(m:port "front"))
      client:send "x"
      local served = assert(target:accept(10))
      assert.truthy(served:receive_line():find "^PROXY TCP4 ")
      assert.are.equal("x", (served:receive(1)))
      assert.truthy(process.now() - began < 5)
      client:close()
      served:close()
    end
    local began = process.now()
    assert.are.equal("127.0.0.2", (net.connect(m:port "asks"):receive_line()))
    assert.truthy(process.now() - began < 5)
  end

  it("is connected to by the next one when the first does not answer", function()
    local port, hole = net.blackhole()
    local target = net.listen { host = "127.0.0.2", port = port }
    local m = start([[["db.test"] = { a = { "127.0.0.1", "127.0.0.2" } }]], port)
    expect_all_served(m, target)
    assert.are.equal(0, m:status().failed_targets.count) -- that has lost, and not failed
    assert.are.equal(0, m:metric 'errors_total{type="connect_timeout"}')
    local heard = hole:lift():accept(2) -- nothing of it is left that could connect now
    assert.is_nil(heard)
  end)

  it("is connected to by the other family when one refuses, which then comes last", function()
    local target = net.listen { host = "127.0.0.2" }
    local port = target:port()
    local m = start([[["db.test"] = { a = { "127.0.0.2" }, aaaa = { { 0, 0, 0, 0, 0, 0, 0, 1 } } }]], port)
    expect_all_served(m, target)
    local failed = m:status().failed_targets
    local first = failed.list[1]
    assert.are.same({ 1, ("[::1]:%d"):format(port), 1 }, { failed.count, first.target, first.failures })
  end)
end)

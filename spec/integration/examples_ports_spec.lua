-- SPDX-License-Identifier: MIT
--
-- examples/port-range.lua: ranges of ports that keep their number, or are shifted. The targets have addresses of their
-- own, as other machines do.

local examples = require "spec.support.examples"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("the example of ranges of ports", function()
  after_each(moongate.finish)

  local first, SHIFT = nil, 7

  -- `first` to first + 4 are the games' ports, then the lobbies', then those that are shifted, then their targets'.
  local function start()
    first = net.free_ports(20)
    local text = examples.text("port-range", {
      { "8100-8104", ("%d-%d"):format(first, first + 4) },
      { "8200,", (first + 5) .. "," },
      { "8202-8203", ("%d-%d"):format(first + 7, first + 8) },
      { "8300-8304\" }", ("%d-%d\" }"):format(first + 9, first + 13) },
      { "+ 1000", "+ " .. SHIFT },
      { "10.0.0.5", "127.0.0.2" },
      { "10.0.0.6", "127.0.0.3" },
    })
    return moongate.start { routes = text, config = 'defaults = { match = { address = "127.0.0.1" } },' }
  end

  -- What comes to a port here arrives at that port of that target.
  local function expect(port, target, target_port)
    local listener = net.listen { host = target, port = target_port }
    local client = assert(net.connect(port))
    local server = assert(listener:accept())
    client:send "ping"
    assert.are.equal("ping", server:receive(4))
    server:send "pong"
    assert.are.equal("pong", client:receive(4))
    client:close()
    server:close()
    listener:close()
  end

  it("keeps the port that a client came in on", function()
    local m = start()
    assert.are.same({ first, first + 1, first + 2, first + 3, first + 4 }, m:ports "games")
    for port = first, first + 4 do
      expect(port, "127.0.0.2", port)
    end
  end)

  it("keeps it for each of several targets, which take turns", function()
    local m = start()
    assert.are.same({ first + 5, first + 7, first + 8 }, m:ports "lobbies")
    assert.is_nil(net.connect(first + 6))
    expect(first + 5, "127.0.0.2", first + 5)
    expect(first + 7, "127.0.0.3", first + 7)
    expect(first + 8, "127.0.0.2", first + 8)
  end)

  it("shifts ports by a function", function()
    start()
    for port = first + 9, first + 12 do
      expect(port, "127.0.0.2", port + SHIFT)
    end
  end)
end)

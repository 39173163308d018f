-- SPDX-License-Identifier: MIT
--
-- examples/port-range.lua: ranges of ports that keep their number, or are shifted. The targets have addresses of their
-- own, as other machines do.

local examples = require "spec.support.examples"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("the example of ranges of ports", function()
  after_each(moongate.finish)

  local SHIFT = 7
  local games, lobbies, shifted -- the first port of each

  local function start()
    games = net.free_ports(3, "127.0.0.1")
    repeat
      lobbies = net.free_ports(4, "127.0.0.1")
    until math.abs(lobbies - games) > 10
    repeat
      shifted = net.free_ports(3, "127.0.0.1")
    until math.abs(shifted - games) > 10 and math.abs(shifted - lobbies) > 10
    local text = examples.text("port-range", {
      { "8100-8104", ("%d-%d"):format(games, games + 2) },
      { "8200,", lobbies .. "," },
      { "8202-8203", ("%d-%d"):format(lobbies + 2, lobbies + 3) },
      { "8300-8304\" }", ("%d-%d\" }"):format(shifted, shifted + 2) },
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
    assert.are.same({ games, games + 1, games + 2 }, m:ports "games")
    for port = games, games + 2 do
      expect(port, "127.0.0.2", port)
    end
  end)

  it("keeps it for each of several targets, which take turns", function()
    local m = start()
    assert.are.same({ lobbies, lobbies + 2, lobbies + 3 }, m:ports "lobbies")
    expect(lobbies, "127.0.0.2", lobbies)
    expect(lobbies + 2, "127.0.0.3", lobbies + 2)
    expect(lobbies + 3, "127.0.0.2", lobbies + 3)
  end)

  it("shifts ports by a function", function()
    start()
    for port = shifted, shifted + 2 do
      expect(port, "127.0.0.2", port + SHIFT)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- examples/canary.lua: a route that is chosen by `when`.

local examples = require "spec.support.examples"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("the example of a route chosen by `when`", function()
  after_each(moongate.finish)

  it("gives a share of the addresses the new version, the same ones each time", function()
    local stable, canary = net.listen(), net.listen()
    local front = net.free_ports(1, "127.0.0.1")
    local m = moongate.start {
      workers = 2,
      config = 'defaults = { match = { address = "127.0.0.1" } },',
      routes = examples.text("canary", {
        { "8081", front },
        { "127.0.0.1:3000", "127.0.0.1:" .. stable:port() },
        { "127.0.0.1:3001", "127.0.0.1:" .. canary:port() },
      }),
    }

    local counted = { [stable] = 0, [canary] = 0 }
    -- The version that a client of that address comes to.
    local function version_of(address)
      local client = assert(net.connect(front, { from = address }))
      local found
      for _ = 1, 1000 do
        for _, listener in ipairs { stable, canary } do
          local server = not found and listener:accept(0.01)
          if server then
            found = listener
            server:send "hello"
            server:close()
          end
        end
        if found then
          break
        end
      end
      assert(found, "the client came nowhere")
      assert.are.equal("hello", client:receive(5))
      client:close()
      counted[found] = counted[found] + 1
      return found
    end

    local versions = {}
    for i = 2, 101 do
      versions[i] = version_of("127.0.0." .. i)
    end
    local share = counted[canary]
    assert.is_true(share >= 1 and share <= 30, share .. " of 100 addresses had the new version")
    for i = 2, 101, 7 do
      assert.are.equal(versions[i], version_of("127.0.0." .. i))
    end
    m:await_metric("connections_total", 115)
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- The ports that specs give to what they start: whoever else listens or connects is given others.

local net = require "spec.support.net"
local process = require "spec.support.process"

describe("free ports", function()
  after_each(net.close_all)

  it("are none that the kernel gives to anybody", function()
    local low, high = process.read("/proc/sys/net/ipv4/ip_local_port_range"):match "(%d+)%s+(%d+)"
    for count = 1, 4 do
      local first = net.free_ports(count)
      assert.truthy(first + count - 1 < tonumber(low) or first > tonumber(high))
    end
  end)

  it("are given once, though nobody has taken them", function()
    local given = {}
    for i = 1, 100 do
      local count = i % 3 + 1
      local first = net.free_ports(count, "127.0.0.1")
      for port = first, first + count - 1 do
        assert.is_nil(given[port])
        given[port] = true
      end
    end
  end)

  it("are not another process's, whatever it is called", function()
    local port = net.free_ports(1)
    -- The same places, one after the other, until it is past ours.
    local script = ([[
      package.path = "./?.lua;" .. package.path
      require("posix.unistd").getpid = function() return 0 end
      local net, last = require "spec.support.net", 0
      repeat
        local given = net.free_ports(1)
        assert(given ~= %d)
        local passed = last < given and given > %d
        last = given
      until passed
    ]]):format(port, port)
    local answer = process.run({ "luajit", "-e", script }, { timeout = 60 })
    assert.are.equal(0, answer.status, answer.err)
  end)
end)

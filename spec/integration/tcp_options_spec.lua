-- SPDX-License-Identifier: MIT
--
-- What the config's `tcp` makes of the two sockets of a forwarded connection, as ss shows it.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("the sockets of a forwarded connection", function()
  after_each(moongate.finish)

  -- What ss says of the timers of moongate's sockets: one text of the client's side, one of the target's.
  local function timers(front, target)
    local function of(filter)
      return process.run({ "ss", "-tnoH", "state", "established", filter }).out
    end
    return of(("( sport = :%d )"):format(front)), of(("( dport = :%d )"):format(target))
  end

  local function start(config)
    local target = net.listen()
    local m = moongate.start { config = config, routes = moongate.front(target:port()) }
    local client = assert(net.connect(m:port "front"))
    local server = assert(target:accept())
    client:send "x"
    assert.are.equal("x", server:receive(1))
    return m:port "front", target:port(), client, server
  end

  it("are both probed, as the config says", function()
    local front, target = start "tcp = { probe_after = '2s', probe_interval = '40s', probes = 3 },"
    process.wait_for(function()
      local client_side, target_side = timers(front, target)
      return client_side:find("timer:(keepalive,", 1, true) and target_side:find("timer:(keepalive,", 1, true)
    end, 20, "keep-alive timers on both sides")
  end)

  it("are not probed when it says so", function()
    local front, target = start "tcp = { keep_alive = false, probe_after = '1s' },"
    process.nap(2.5)
    local client_side, target_side = timers(front, target)
    assert.matches("%d", client_side)
    assert.matches("%d", target_side)
    assert.is_nil((client_side .. target_side):find("keepalive", 1, true))
  end)
end)

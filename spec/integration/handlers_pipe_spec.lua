-- SPDX-License-Identifier: MIT
--
-- How a handler's pipe ends when one side breaks, or when moongate cuts it short: what was cut short never looks like
-- an end, as where a route forwards.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("a handler's pipe", function()
  after_each(moongate.finish)

  -- A moongate with it, the client's end, and the target's.
  local function start(timeouts, options)
    local target = net.listen(options or {})
    local action = "handler = function(s) local o = assert(moongate.connect('127.0.0.1', %d)) "
      .. "local _, why = s:pipe(o) moongate.log.warn('piped', { why = why }) end"
    local m = moongate.start {
      config = ("timeouts = { %s },"):format(timeouts or ""),
      routes = moongate.front(action:format(target:port())),
    }
    local client = assert(net.connect(m:port "front", options))
    return m, { client = client, target = assert(target:accept()) }
  end

  -- Both sides send something every now and then until both have been ended: what ended each. (A reset is told once.)
  local function keep_moving(pair)
    local ends = {}
    process.wait_for(function()
      for side, peer in pairs(pair) do
        if not ends[side] then
          local _, broken = peer:send("x", 0)
          local _, why = peer:receive(1, 0)
          ends[side] = broken == "reset" and "reset" or why == "end" and "end" or nil
        end
      end
      return ends.client and ends.target
    end, 20, "both sides to be ended")
    return ends
  end

  for _, sender in ipairs { "client", "target" } do
    local receiver = sender == "client" and "target" or "client"

    it(("resets the %s when the %s resets, behind all that was sent before"):format(receiver, sender), function()
      local m, pair = start()
      local part = ("a part of it "):rep(4000)
      assert(pair[sender]:send(part))
      assert.are.equal("a part", pair[receiver]:receive(6))
      process.nap(0.2)
      pair[sender]:reset()
      m:await_log("piped.*why=closed", 20)
      assert.are.same({ part:sub(7), "reset" }, { pair[receiver]:receive_all() })
      m:await_idle(20)
    end)

    it(("resets the %s late when it is slow to take what the %s has sent"):format(receiver, sender), function()
      local m, pair = start("linger = '10s'", { receive_buffer = 4096, segment = 536 })
      local count = 0
      for _ = 1, 8 do -- more than the receiver's kernel takes, less than moongate's may hold
        local piece = ("%d"):format(count % 10):rep(8192)
        assert(pair[sender]:send(piece))
        count = count + #piece
      end
      process.nap(0.3)
      pair[sender]:reset()
      process.nap(1)
      local all, why = pair[receiver]:receive_all()
      assert.are.same({ count, "reset" }, { #all, why })
      m:await_idle(20)
    end)

    it(("that the %s's end cuts off by a reset is what it tells the script"):format(sender), function()
      local m, pair = start()
      assert(pair[sender]:send "all")
      pair[sender]:shutdown()
      assert.are.same({ "all", "end" }, { pair[receiver]:receive_all() })
      pair[receiver]:reset()
      m:await_log("piped.*why=closed", 20)
      m:await_idle(20)
      assert.are.equal("reset", select(2, pair[sender]:receive_all()))
    end)
  end

  it("has no timeout of the sockets' own, which were for what went before", function()
    local target = net.listen {}
    local m = moongate.start {
      routes = moongate.front(([[handler = function(s)
        local o = assert(moongate.connect("127.0.0.1", %d))
        for _, mode in ipairs { "t", "b" } do
          s:settimeout(0.1, mode)
          o:settimeout(0.1, mode)
        end
        o:send(s:receive() .. "\n")
        moongate.log.warn("piped", { why = select(2, s:pipe(o)) })
      end]]):format(target:port())),
    }
    local client = assert(net.connect(m:port "front"))
    client:send "first\n"
    local accepted = assert(target:accept())
    assert.are.equal("first", accepted:receive_line())
    process.nap(0.5)
    client:send "question\n"
    assert.are.equal("question", accepted:receive_line())
    process.nap(0.5)
    accepted:send "answer\n"
    assert.are.equal("answer", client:receive_line())
  end)

  it("that its lifetime ends while bytes move resets both sides", function()
    local m, pair = start "lifetime = '2s'"
    assert.are.same({ client = "reset", target = "reset" }, keep_moving(pair))
    m:await_idle(20)
    assert.are.equal(1, m:metric 'connection_terminations_total{side="client",reason="lifetime"}')
  end)

  it("that its lifetime ends while it is quiet ends both sides", function()
    local m, pair = start "lifetime = '2s'"
    assert(pair.client:send "a question")
    assert.are.equal("a question", pair.target:receive(10))
    assert.are.same({ "", "end" }, { pair.client:receive_all() })
    assert.are.same({ "", "end" }, { pair.target:receive_all() })
    m:await_idle(20)
  end)

  for _, sender in ipairs { "client", "target" } do
    local receiver = sender == "client" and "target" or "client"

    it(("resets the %s when it is idle in front of bytes of the %s's"):format(receiver, sender), function()
      local m, pair = start("idle = '2s', linger = '1s'", { receive_buffer = 4096, send_buffer = 65536, segment = 536 })
      local piece, quiet = ("x"):rep(65536), 0
      repeat
        local ok, _, count = pair[sender]:send(piece, 0)
        quiet = (ok or count > 0) and 0 or quiet + 1
        process.nap(0.02)
      until quiet == 10
      m:await_metric('connections_by_state{state="handling"}', 0)
      assert.are.equal("reset", select(2, pair[receiver]:receive_all()))
      m:await_idle(20)
    end)
  end
end)

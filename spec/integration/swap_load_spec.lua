-- SPDX-License-Identifier: MIT
--
-- Eighty saves, every fifth broken, while clients are being served: no request fails, who is held notices nothing, and
-- the faults are told. With MOONGATE_SLOW=1 they are two hundred.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

local saves = os.getenv "MOONGATE_SLOW" and 200 or moongate.sanitized and 40 or 80

describe("under load", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  it("saves are live, and no request fails", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/index.html", "hello")
    local m = swapping.start({
      ["a.lua"] = counting("a", "v0"),
      ["b.lua"] = swapping.forwarding("b", nginx.port),
      ["c.lua"] = "return {}",
    }, { workers = 2 })
    local held = assert(swapping.open "a")
    local forwarded = assert(swapping.connect "b")
    local url = ("http://%s:%d/"):format(swapping.host, swapping.port "b")
    local keeping = process.start { "wrk", "-t1", "-c8", "-d60s", url }
    local closing = process.start { "wrk", "-t1", "-c4", "-d60s", "-H", "Connection: close", url }
    process.wait_for(function()
      return m:metric 'route_connections_total{route="b"}' > 100
    end)
    local before, last, told, refused = "v0", "v0", 0, {}
    for i = 1, saves do
      if i % 5 == 0 then
        m:write("a.lua", ("return {\n\n  broken %d"):format(i))
        local fault = m:await_fault "a.lua"
        told = told + (fault.line == 3 and 1 or 0)
      else
        before, last = last, "v" .. i
        m:write("a.lua", counting("a", last))
        swapping.await("a", last)
      end
      if i % 20 == 10 then -- the forwarding file changes too, and its route does not; another route comes and goes
        m:write("b.lua", swapping.forwarding("b", nginx.port) .. "-- " .. i)
        m:write("c.lua", i % 40 == 10 and counting("c", "c") or "return {}")
      end
      local version, message = swapping.ask "a"
      -- One worker has the last for sure; the other may be a moment behind.
      refused[#refused + 1] = version ~= last and version ~= before and (version or message) or nil
      assert.are.equal("v0: still 1", net.ask(held, "still"))
    end
    assert.are.same({}, refused)
    assert.are.equal(saves / 5, told)
    -- wrk says what it counted when it is interrupted.
    for _, wrk in ipairs { keeping, closing } do
      assert.truthy(wrk:alive(), wrk:out() .. wrk:err())
      wrk:signal "SIGINT"
      wrk:wait(10)
      local said = wrk:out() .. wrk:err()
      assert.truthy(said:find "requests in", said)
      assert.falsy(said:find "Socket errors", said)
      assert.falsy(said:find "Non%-2xx", said)
    end
    forwarded:send "GET / HTTP/1.0\r\n\r\n"
    assert.truthy(forwarded:receive_all():find("hello", 1, true))
    assert.are.equal("v0: there 1", net.ask(held, "there"))
    m:write("a.lua", counting("a", "end"))
    swapping.await("a", "end")
    m:await_well "a.lua"
    assert.are.equal(0, m:metric 'connection_terminations_total{side="client",reason="changed"}')
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- Run it with: moongate test spec/examples/counter_spec.lua

local testing = require "moongate.testing"

-- What stands for a Redis: it counts, and is silent about "dead".
local function redis(counts)
  return function(socket)
    for head in socket:lines() do
      local words = {}
      for i = 1, tonumber(head:sub(2)) do
        socket:receive "*l"
        words[i] = socket:receive "*l"
      end
      local name = words[2]
      if name == "dead" then
        moongate.sleep(3600)
      elseif name == "text" then
        socket:send "-ERR value is not an integer\r\n"
      elseif words[1] == "INCR" then
        counts[name] = (counts[name] or 0) + 1
        socket:send((":%d\r\n"):format(counts[name]))
      elseif counts[name] then
        socket:send(("$%d\r\n%d\r\n"):format(#tostring(counts[name]), counts[name]))
      else
        socket:send "$-1\r\n"
      end
    end
  end
end

describe("examples/counter.lua", function()
  local counter = testing.load("examples/counter.lua").counter
  local connect = moongate.connect
  local m

  before_each(function()
    m = testing.start { routes = { name = "redis", match = { ports = 6379 }, action = { handler = redis {} } } }
    stub(moongate, "connect", function(where, options)
      assert.equal("127.0.0.1:6379", where)
      return connect("127.0.0.1", m:port "redis", options)
    end)
  end)

  after_each(function()
    moongate.connect:revert()
    m:stop()
  end)

  local function ask(c, line)
    c:send(line .. "\n")
    return c:receive "*l"
  end

  it("counts for all clients together", function()
    local first, second = testing.call(counter), testing.call(counter)
    assert.equal("+0", ask(first, "get moon"))
    assert.equal("+1", ask(first, "hit moon"))
    assert.equal("+2", ask(second, "hit moon"))
    assert.equal("+2", ask(first, "get moon"))
    assert.equal("-hit NAME, or get NAME", ask(first, "hot moon"))
  end)

  it("says what Redis says is wrong", function()
    assert.equal("-ERR value is not an integer", ask(testing.call(counter), "hit text"))
  end)

  it("does not wait for a Redis that does not answer", function()
    local c = testing.call(counter)
    c:send "get dead\n"
    testing.clock.advance(2)
    assert.equal("-timeout", c:receive "*l")
  end)

  it("says so when there is none", function()
    m:stop()
    local log = stub(moongate.log, "error")
    assert.equal("-try again later", testing.call(counter):receive "*l")
    assert.stub(log).was.called_with("no redis", match.is_table())
    log:revert()
  end)
end)

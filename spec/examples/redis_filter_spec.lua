-- SPDX-License-Identifier: MIT
--
-- Run it with: moongate test spec/examples/redis_filter_spec.lua

local testing = require "moongate.testing"

-- What stands for a Redis: it keeps what it is given, and ends with QUIT.
local function redis(values)
  return function(socket)
    for head in socket:lines() do
      local words = {}
      for i = 1, tonumber(head:sub(2)) do
        words[i] = socket:receive(tonumber(socket:receive():sub(2)))
        socket:receive(2)
      end
      local value = values[words[2]]
      if words[1]:upper() == "GET" then
        socket:send(value and ("$%d\r\n%s\r\n"):format(#value, value) or "$-1\r\n")
      elseif words[1] == "SET" then
        values[words[2]] = words[3]
        socket:send "+OK\r\n"
      elseif words[1] == "DEL" then
        socket:send((":%d\r\n"):format(#words - 1))
      elseif words[1] == "QUIT" then
        socket:send "+OK\r\n"
        return
      else
        socket:send(("-ERR unknown command '%s'\r\n"):format(words[1]))
      end
    end
  end
end

local function request(...)
  local parts = { ("*%d\r\n"):format(select("#", ...)) }
  for _, word in ipairs { ... } do
    parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  return table.concat(parts)
end

describe("examples/redis-filter.lua", function()
  local filter = testing.load("examples/redis-filter.lua")["redis-filter"]
  local connect = moongate.connect
  local m, values

  before_each(function()
    values = { moon = "gate" }
    m = testing.start { routes = { name = "redis", match = { ports = 6379 }, action = { handler = redis(values) } } }
    stub(moongate, "connect", function(where, options)
      assert.equal("127.0.0.1:6379", where)
      return connect("127.0.0.1", m:port "redis", options)
    end)
  end)

  after_each(function()
    moongate.connect:revert()
    m:stop()
  end)

  it("lets through what is listed", function()
    local c = testing.call(filter)
    c:send(request("GET", "moon"))
    assert.equal("$4\r\ngate\r\n", c:receive(10))
    c:send(request("get", "nothing"))
    assert.equal("$-1", c:receive "*l")
  end)

  it("refuses the rest in its place, however many are asked for at once", function()
    local c = testing.call(filter)
    local asked, expected = {}, {}
    for i = 1, 50 do
      asked[i] = request("GET", "moon") .. request("CONFIG", "GET", "dir") .. request("SET", "n", tostring(i))
      expected[i] = "$4\r\ngate\r\n-ERR unknown command 'not-allowed'\r\n+OK\r\n"
    end
    c:send(asked)
    expected = table.concat(expected)
    assert.equal(expected, c:receive(#expected))
    assert.equal("50", values.n)
  end)

  it("leaves long words to C, and what stands behind them in place", function()
    local c = testing.call(filter)
    local long = ("0123456789"):rep(200000)
    c:send(request("SET", "long", long) .. request("GET", "moon"))
    assert.equal("+OK\r\n$4\r\ngate\r\n", c:receive(15))
    assert.equal(long, values.long)
  end)

  it("takes many words", function()
    local c = testing.call(filter)
    local keys = {}
    for i = 1, 1000 do
      keys[i] = "key" .. i
    end
    c:send(request("DEL", unpack(keys)))
    assert.equal(":1000", c:receive "*l")
  end)

  it("ends with the client, with Redis, and with what is no request", function()
    local c = testing.call(filter)
    c:send(request "QUIT")
    assert.equal("+OK", c:receive "*l")
    assert.same({ nil, "closed", "" }, { c:receive "*l" })
    c:wait()
    local broken = { "PING\r\n", "*0\r\n", "*1\r\n$2000\r\n", "*2\r\n$3\r\nGET\r\n:1\r\n", "*x\r\n", "*1\r\n$4\r\nPI" }
    for _, bad in ipairs(broken) do
      c = testing.call(filter)
      c:send(bad)
      c:shutdown "send"
      c:wait()
      assert.same({ nil, "closed", "" }, { c:receive "*l" })
    end
  end)
end)

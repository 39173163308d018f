-- SPDX-License-Identifier: MIT
--
-- The socket that a handler is given: LuaSocket's conventions for receiving and sending, over real connections.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a handler's socket", function()
  after_each(moongate.finish)

  -- A client of a handler whose body is given.
  local function client_of(body, config)
    local m = moongate.start {
      config = config,
      routes = ([[
        local function show(...)
          local values = {}
          for i = 1, select("#", ...) do
            local value = select(i, ...)
            values[i] = type(value) == "string" and string.format("%%q", value) or tostring(value)
          end
          return table.concat(values, " ") .. "\n"
        end
        return { name = "front", match = { ports = 0 }, action = { handler = function(socket, context)
          %s
        end } }
      ]]):format(body),
    }
    return assert(net.connect(m:port "front")), m
  end

  local function all(client)
    local bytes, how = client:receive_all()
    assert.are.equal("end", how)
    return bytes
  end

  it("may speak first", function()
    local client = client_of [[socket:send "220 ready\r\n" socket:send("you said " .. socket:receive())]]
    assert.are.equal("220 ready", client:receive_line())
    client:send "hi\r\n"
    assert.are.equal("you said hi", all(client))
  end)

  it("has all that was sent before it is read, however late", function()
    local client = client_of [[moongate.sleep(0.3) socket:send(socket:receive "*a")]]
    client:send "early "
    client:send "bird"
    client:shutdown()
    assert.are.equal("early bird", all(client))
  end)

  it("receives so many bytes", function()
    local client = client_of [[socket:send(show(socket:receive(5)) .. show(socket:receive(3)))]]
    client:send "hell"
    client:send "o you"
    assert.are.equal('"hello"\n" yo"\n', all(client))
  end)

  it("receives lines without their end", function()
    local client = client_of [[
      for _ = 1, 3 do socket:send(show(socket:receive "*l")) end
      socket:send(show(socket:receive()))
    ]]
    client:send "one\r\ntwo\n\nlast\n"
    assert.are.equal('"one"\n"two"\n""\n"last"\n', all(client))
  end)

  it("receives everything up to the end", function()
    local client = client_of [[
      local text = socket:receive "*a"
      socket:send(#text .. " " .. select(2, text:gsub("x", "")))
    ]]
    client:send(("x"):rep(200000))
    client:shutdown()
    assert.are.equal("200000 200000", all(client))
  end)

  it("puts a prefix before what it receives", function()
    local client = client_of [[socket:send(show(socket:receive(8, "abc")) .. show(socket:receive("*l", "> ")))]]
    client:send "defghrest\n"
    assert.are.equal('"abcdefgh"\n"> rest"\n', all(client))
  end)

  it("receives whatever is there", function()
    local client = client_of [[socket:send(show(socket:receiveany(100))) socket:send(show(socket:receiveany(2)))]]
    client:send "abc"
    assert.are.equal('"abc"', client:receive_line())
    client:send "defg"
    assert.are.equal('"de"', client:receive_line())
  end)

  it("peeks without taking", function()
    local client = client_of [[socket:send(show(socket:peek(3)) .. show(socket:peek(2)) .. show(socket:receive(5)))]]
    client:send "hello"
    assert.are.equal('"hel"\n"he"\n"hello"\n', all(client))
  end)

  it("goes through lines", function()
    local client = client_of [[local n = 0 for line in socket:lines() do n = n + 1 socket:send(n .. line .. " ") end]]
    client:send "a\nb\r\nc\n"
    client:shutdown()
    assert.are.equal("1a 2b 3c ", all(client))
  end)

  it("answers nil, 'closed' and what there was, at the end", function()
    local client = client_of [[socket:send(show(socket:receive(10)) .. show(socket:receive(10)))]]
    client:send "short"
    client:shutdown()
    assert.are.equal('nil "closed" "short"\nnil "closed" ""\n', all(client))
  end)

  it("answers nil, 'timeout' and what there was, when the time is over; later bytes follow", function()
    local client = client_of [[
      socket:settimeout(0.3)
      socket:send(show(socket:receive(10)))
      socket:settimeout(10)
      socket:send(show(socket:receive "*l"))
    ]]
    client:send "part"
    assert.are.equal('nil "timeout" "part"', client:receive_line())
    client:send "rest\n"
    assert.are.equal('"rest"', client:receive_line())
  end)

  it("does not wait at all with a timeout of 0", function()
    local client = client_of [[socket:settimeout(0) socket:send(show(socket:receive(1)))]]
    assert.are.equal('nil "timeout" ""\n', all(client))
  end)

  it("answers nil, 'timeout' when nobody takes what it sends", function()
    local _, m = client_of [[
      socket:settimeout(0.5)
      local sent, err, last = socket:send(("x"):rep(64 * 1024 * 1024))
      moongate.log.info("sent " .. tostring(sent) .. "-" .. tostring(err) .. "-" .. type(last))
    ]]
    m:await_log "sent nil%-timeout%-number"
  end)

  it("sends a table of pieces, and says how many bytes went", function()
    local client = client_of [[socket:send(" " .. tostring(socket:send { "one", "", " two", 3 }))]]
    assert.are.equal("one two3 8", all(client))
  end)

  it("sends what is larger than any buffer to a reader that takes its time", function()
    local client = client_of [[socket:send(("0123456789abcdef"):rep(300000))]]
    local received = 0
    repeat
      local bytes, how = client:receive(100000)
      received = received + #bytes
    until how ~= "whole"
    assert.are.equal(4800000, received)
  end)

  it("knows both addresses", function()
    local client, m = client_of [[
      local host, port = socket:getpeername()
      local own, own_port = socket:getsockname()
      socket:send(show(host, port == context.client_port, own, own_port == context.port))
      socket:send(show(context.client_ip, context.route))
    ]]
    assert.are.equal('"127.0.0.1" true "127.0.0.1" true\n"127.0.0.1" "front"\n', all(client))
    assert.truthy(m:port "front")
  end)

  it("ends its side with shutdown 'send' and goes on reading", function()
    local client, m = client_of [[
      socket:send "that is all"
      socket:shutdown "send"
      moongate.log.info("got " .. socket:receive "*a")
    ]]
    assert.are.equal("that is all", all(client))
    client:send "fine by me"
    client:shutdown()
    m:await_log "got fine by me"
    m:await_idle()
  end)

  it("answers nil, 'closed' after close", function()
    local client, m = client_of [[
      socket:send "bye"
      socket:close()
      socket:close()
      moongate.log.info("then " .. show(socket:receive(1)) .. show(socket:send "x"))
    ]]
    assert.are.equal("bye", all(client))
    m:await_log "then"
    assert.are.equal(0, m:metric 'handler_errors_total{route="front"}')
  end)

  it("raises on misuse, which names the argument", function()
    local client = client_of [[
      for _, use in ipairs {
        function() socket:receive "*x" end,
        function() socket:receive(-1) end,
        function() socket:send(nil) end,
        function() socket.receive() end,
      } do
        local ok, message = pcall(use)
        socket:send(tostring(ok) .. " " .. tostring(message:find "bad argument" ~= nil) .. "\n")
      end
    ]]
    assert.are.equal(("false true\n"):rep(4), all(client))
  end)
end)

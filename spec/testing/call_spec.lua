-- SPDX-License-Identifier: MIT
--
-- testing.call: a handler on one end of a socket pair. Run by moongate test.

local testing = require "moongate.testing"

describe("testing.call", function()
  it("gives the handler a socket, and the spec the other end", function()
    local c = testing.call(function(socket)
      socket:send(socket:receive("*l"):upper() .. "\n")
    end)
    c:send "hello\n"
    assert.equal("HELLO", c:receive "*l")
    assert.same({ nil, "closed", "" }, { c:receive "*l" })
  end)

  it("gives the handler the context that the spec wants", function()
    local c = testing.call(function(socket, context)
      return context.client_ip, (socket:getpeername()), context.domain, context.port, context.client_port
    end, { client_ip = "2001:db8::7", client_port = 1234, port = 443, domain = "a.example.com" })
    assert.same({ "2001:db8::7", "2001:db8::7", "a.example.com", 443, 1234 }, { c:wait() })
    assert.equal("a.example.com", c.context.domain)
  end)

  it("refuses what is no handler, and a client that has no address", function()
    assert.has_error(function()
      testing.call(7)
    end, "bad argument #1 to 'testing.call' (a handler, or a route that has one, expected)")
    local fine, message = pcall(testing.call, function() end, { client_ip = "moon" })
    assert.is_false(fine)
    assert.matches('client_ip: "moon" is no address', message, 1, true)
  end)

  it("waits for the handler, and gives what it returned", function()
    local c = testing.call(function()
      moongate.sleep(0.01)
      return "one", nil, 3
    end)
    assert.is_false(c.finished)
    assert.same({ n = 3, "one", nil, 3 }, { n = 3, c:wait() })
    assert.is_true(c.finished)
    assert.is_nil(c.error)
  end)

  it("does not wait for ever", function()
    local c = testing.call(function(socket)
      socket:receive()
    end)
    assert.same({ nil, "timeout" }, { c:wait(0.02) })
    c:close()
    c:wait()
    assert.is_true(c.finished)
  end)

  it("calls spies and upvalues of the spec", function()
    local seen = {}
    local handler = spy.new(function(socket)
      for line in socket:lines() do
        seen[#seen + 1] = line
      end
    end)
    local c = testing.call(handler)
    c:send "a\nb\n"
    c:close()
    c:wait()
    assert.same({ "a", "b" }, seen)
    assert.spy(handler).was.called(1)
  end)

  it("shows what the handler raised, and lets the spec say that it is expected", function()
    local c = testing.call(function(socket)
      socket:receive "*l"
      error("no line", 0)
    end)
    c:shutdown "send"
    assert.has_error(function()
      c:wait()
    end)
    assert.equal("no line", c.error)
  end)

  it("raises in the spec with the handler's line", function()
    local c = testing.call(function()
      local line = nil
      return line.length -- the line that is at fault
    end)
    local _, message = pcall(c.wait, c)
    local line = debug.getinfo(1, "l").currentline - 3
    assert.matches(("spec/testing/call_spec.lua:%d: attempt to index local 'line'"):format(line), message, 1, true)
    assert.matches("raised in the handler", message, 1, true)
  end)

  it("forwards natively, as the handler of a route does", function()
    local m = testing.start({
      routes = { { name = "echo", match = { ports = 0 }, action = { handler = moongate.handlers.echo() } } },
    })
    local target = "127.0.0.1:" .. m:port "echo"
    local c = testing.call(function(socket, context)
      socket:receive "*l"
      context:forward(target)
    end)
    c:send "first\nsecond\n"
    assert.equal("second", c:receive "*l")
    c:close()
    c:wait()
    m:stop()
  end)

  it("ends with a handler that waits for something else", function()
    local c = testing.call(function()
      moongate.sleep(3600)
    end)
    assert.is_false(c.finished)
  end)

  it("keeps calls apart", function()
    local first = testing.call(moongate.handlers.echo())
    local second = testing.call(moongate.handlers.echo())
    second:send "2"
    first:send "1"
    assert.equal("1", first:receive(1))
    assert.equal("2", second:receive(1))
  end)

  it("goes on for as long as a handler needs", function()
    local c = testing.call(moongate.handlers.echo())
    local bytes = ("x"):rep(1024 * 1024)
    moongate.spawn(function()
      c:send(bytes)
      c:shutdown "send"
    end)
    assert.equal(#bytes, #c:receive "*a")
  end)

  it("gives the spec all that a socket has: options, counts, TLS", function()
    local c = testing.call(function(socket)
      assert.equal(1, socket:starttls())
      socket:send(socket:receive "*l" .. "\n")
    end)
    assert.equal(1, c:starttls { verify = false })
    assert.truthy(c:tls().version)
    c:settimeout(3)
    assert.same({ 3, 3 }, { select(2, c:gettimeout()) })
    c:send "over TLS\n"
    assert.equal("over TLS", c:receive "*l")
    assert.is_true(c:getstats() > #"over TLS\n")
    c:wait()
  end)

  it("joins two calls", function()
    local echo = testing.call(moongate.handlers.echo())
    local talk = testing.call(function(socket)
      socket:send "hello"
      socket:shutdown "send"
      return socket:receive "*a"
    end)
    assert.same({ 5, 5 }, { talk:pipe(echo) })
    assert.equal("hello", talk:wait())
  end)

  it("joins a number of bytes of one", function()
    local echo = testing.call(moongate.handlers.echo())
    local talk = testing.call(function(socket)
      socket:send "hello, world"
    end)
    assert.equal(5, talk:pipe(echo, { bytes = 5 }))
    assert.same({ ", world", "hello" }, { talk:receive "*a", echo:receive(5) })
  end)
end)

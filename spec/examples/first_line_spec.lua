-- SPDX-License-Identifier: MIT
--
-- Run it with: moongate test spec/examples/first_line_spec.lua

local testing = require "moongate.testing"

describe("examples/first-line.lua", function()
  local route = testing.load("examples/first-line.lua")["first-line"]

  it("forwards by the first line, and takes none of it", function()
    local target, left
    local c = testing.call(route, {
      forward = function(_, to)
        target = to
      end,
    })
    c:send "tenant red\r\nhello\n"
    c:wait()
    assert.equal("127.0.0.1:9021", target)

    local backend = testing.start {
      routes = {
        name = "red",
        match = { ports = 9021 },
        action = {
          handler = function(socket)
            left = socket:receive "*a"
          end,
        },
      },
    }
    c = testing.call(function(socket, context)
      local given = {
        client_ip = context.client_ip,
        forward = function()
          context:forward("127.0.0.1", backend:port "red")
        end,
      }
      return route.action.handler(socket, given)
    end)
    for piece in ("tenant red\r\nhello\n"):gmatch ".." do
      c:send(piece)
    end
    c:shutdown "send"
    assert.is_nil((c:receive "*a"))
    assert.equal("tenant red\r\nhello\n", left)
    backend:stop()
  end)

  it("turns strangers away", function()
    for _, line in ipairs { "tenant green\n", "hello\n", "\n", "tenant red" } do
      local c = testing.call(route)
      c:send(line)
      c:shutdown "send"
      assert.equal("unknown tenant\n", c:receive "*a")
    end
  end)

  it("waits ten seconds for a line, and looks at no more than it must", function()
    local c = testing.call(route)
    c:send "tenant re"
    testing.clock.advance(11)
    assert.equal("unknown tenant\n", c:receive "*a")
    c = testing.call(route)
    c:send(("x"):rep(256))
    assert.equal("unknown tenant", c:receive "*l")
  end)
end)

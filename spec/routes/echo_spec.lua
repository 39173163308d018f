-- SPDX-License-Identifier: MIT
--
-- Run it with: moongate test spec/routes/echo_spec.lua

local testing = require "moongate.testing"

describe("routes/echo.lua", function()
  local echo = testing.load("routes/echo.lua").echo

  it("sends back what it receives", function()
    local c = testing.call(echo)
    c:send "hello"
    assert.equal("hello", c:receive(5))
    c:send "again\n"
    assert.equal("again", c:receive "*l")
  end)

  it("ends when the client does", function()
    local c = testing.call(echo)
    c:shutdown "send"
    assert.same({ nil, "closed", "" }, { c:receive "*l" })
    c:wait()
    assert.is_true(c.finished)
  end)
end)

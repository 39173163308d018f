-- SPDX-License-Identifier: MIT
--
-- Run it with: moongate test spec/routes/line_spec.lua

local testing = require "moongate.testing"

describe("routes/line.lua", function()
  local line = testing.load("routes/line.lua").line
  local c

  before_each(function()
    c = testing.call(line, { client_ip = "192.0.2.7" })
    c:settimeout(10)
  end)

  it("welcomes the client by its address", function()
    assert.matches("^moongate: welcome, 192%.0%.2%.7%.", c:receive "*l")
  end)

  describe("after the welcome", function()
    before_each(function()
      c:receive "*l"
    end)

    for sent, answer in pairs({
      ["hello moon"] = "hello, moon",
      ["HELLO"] = "hello who%? %(hello NAME%)",
      ["help"] = "^commands: ",
      ["time"] = "^%d+%-%d%d%-%d%d %d%d:%d%d:%d%d UTC",
      ["what"] = "^I don't know that one%.",
    }) do
      it(("answers '%s'"):format(sent), function()
        c:send(sent .. "\r\n")
        assert.matches(answer, c:receive "*l")
      end)
    end

    it("says goodbye", function()
      c:send "quit\r\n"
      assert.equal("bye", c:receive "*l")
      c:wait()
    end)

    it("waits five minutes for a line, and no longer", function()
      testing.clock.advance(299)
      assert.is_false(c.finished)
      testing.clock.advance(2)
      assert.is_true(c.finished)
    end)
  end)
end)

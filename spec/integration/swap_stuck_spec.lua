-- SPDX-License-Identifier: MIT
--
-- A worker that hangs in a call which nothing can stop holds a reload up, and does not do so in silence.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

-- One call of string.find that takes minutes: no hook is called meanwhile.
local hanging = [[
local text, pattern = ("a"):rep(90), ("a*"):rep(12) .. "b"
local function hang(socket)
  socket:send "hello\n"
  socket:receive("*l")
  socket:send "hanging\n"
  text:find(pattern)
end
return ]] .. swapping.route("a", "handler = hang") .. "\n"

describe("a worker that hangs", function()
  after_each(moongate.finish)

  it("is named in the log when a reload has waited for it for ten seconds", function()
    local m = swapping.start({ ["a.lua"] = hanging, ["b.lua"] = swapping.counting("b", "v1") }, { workers = 1 })
    process.wait_for(function()
      return m:status().reload.phase == "idle"
    end, 30)
    local client = assert(swapping.open "a")
    assert.are.equal("hanging", net.ask(client, "now"))
    m:write("b.lua", swapping.counting("b", "v2"))
    process.wait_for(function()
      return m:status().reload.phase == "swapping"
    end, 30)
    m:await_log("a reload waits for a worker", 40)
    local line = m:log():match "[^\n]*a reload waits for a worker[^\n]*"
    assert.truthy(line:find("phase=swapping", 1, true), line)
    assert.truthy(line:find("worker=1", 1, true), line)
    m:stop "SIGKILL"
  end)
end)

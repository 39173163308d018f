-- SPDX-License-Identifier: MIT
--
-- A reload of the config that says something else to routes: what a file's functions can't see leaves its states alone,
-- and its connections; what it says holds for new ones.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a config that says something else to routes", function()
  after_each(moongate.finish)

  local counting = swapping.counting
  local CLOSING = "on_change = 'close'"

  -- What start() has, with another line of the config; what a reload says of it.
  local function configure(m, from, to)
    local text = process.read(m.config_path)
    local found, last = text:find(from, 1, true)
    assert.truthy(found, text)
    process.write(m.config_path, text:sub(1, found - 1) .. to .. text:sub(last + 1))
    local answer = m:reload()
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    return answer.out
  end

  it("leaves states, connections and versions alone, and is told as what it is", function()
    local target = net.listen()
    local m = swapping.start({
      ["a.lua"] = counting("a", "v1", CLOSING),
      ["b.lua"] = swapping.forwarding("b", target:port(), CLOSING),
    }, { config = "keep_alive = 'standard'" })
    local talking = assert(swapping.open "a")
    assert.are.equal("v1: one 1", net.ask(talking, "one"))
    local forwarded = assert(swapping.connect "b")
    forwarded:send "x"
    local accepted = target:accept()
    assert.are.equal("x", (accepted:receive(1)))
    local said = configure(m, 'linger = "2s"', 'linger = "2s", idle = "1500ms"')
    assert.truthy(said:find("the config changed", 1, true), said)
    assert.is_nil(said:find("files? changed"), said)
    assert.are.same({ 1, 1 }, { m:files()["a.lua"].version, m:files()["b.lua"].version })
    -- Its upvalues go on, and those who were there stay for as long as they were told.
    assert.are.same({ "v1", 1 }, { swapping.ask "a" })
    local late = assert(swapping.open "a")
    assert.are.same({ "", "end" }, { late:receive_all(10) }) -- idle
    assert.are.equal("v1: two 1", net.ask(talking, "two"))
    forwarded:send "y"
    assert.are.equal("y", (accepted:receive(1)))
    assert.are.equal(0, m:metric 'connection_terminations_total{side="client",reason="changed"}')
    assert.are.equal(0, m:metric "old_versions")
    -- A file that changes is a change all the same.
    m:write("a.lua", counting("a", "v2", CLOSING))
    swapping.await("a", "v2")
    assert.are.same({ "", "end" }, { talking:receive_all(10) })
  end)

  it("changes routes by `defaults`, whose functions go on, and whose connections go as they say", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1", CLOSING) }, { config = "defaults = { tags = { 'x' } }" })
    local held = assert(swapping.open "a")
    configure(m, "'x'", "'y'")
    assert.are.same({ "", "end" }, { held:receive_all(10) })
    assert.are.same({ "v1", 1 }, { swapping.ask "a" })
  end)

  it("makes new states where their functions can see it", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { config = "limits = { script_time = '1s' }" })
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
    assert.are.same({ "v1", 1 }, { swapping.ask "a" })
    configure(m, "script_time = '1s'", "script_time = '2s'")
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
  end)
end)

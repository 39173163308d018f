-- SPDX-License-Identifier: MIT
--
-- A worker that hangs in a call which nothing can stop holds a swap up, and does not do so in silence. When it is back,
-- what had been saved meanwhile goes live.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

-- A FIFO that nobody writes to.
local HANGING = [[
local function hang(socket)
  socket:send "hello\n"
  socket:receive("*l")
  socket:send "hanging\n"
  io.open(%q):close()
end
return ]] .. swapping.route("a", "handler = hang") .. "\n"

describe("a worker that hangs", function()
  after_each(moongate.finish)

  it("is named in the log when a swap waits for it, and the swap is made when it goes on", function()
    local fifo = process.directory() .. "/fifo"
    assert(os.execute("mkfifo " .. fifo) == 0)
    local routes = { ["a.lua"] = HANGING:format(fifo), ["b.lua"] = swapping.counting("b", "v1") }
    local m = swapping.start(routes, { workers = 1 })
    process.wait_for(function()
      return m:status().reload.phase == "idle"
    end, 30)
    local client = assert(swapping.open "a")
    assert.are.equal("hanging", net.ask(client, "now"))
    m:write("b.lua", swapping.counting("b", "v2"))
    process.wait_for(function()
      return m:status().reload.phase == "swapping"
    end, 30)
    m:await_log "a reload waits for a worker"
    local line = m:log():match "[^\n]*a reload waits for a worker[^\n]*"
    assert.truthy(line:find("phase=swapping", 1, true), line)
    assert.truthy(line:find("worker=1", 1, true), line)
    local reloading = process.start { moongate.binary, "reload", "--control", m.control }
    local waits = "moongate: the reload waits, and what was live stays: worker 1 is stuck for "
    process.wait_for(function()
      return reloading:err():find(waits, 1, true) and reloading:err():find(" in route a (a.lua)", 1, true)
    end, 20)
    assert.are.equal(1, m:status().reload.worker)
    local generation = m:generation()
    process.run { "sh", "-c", ": > " .. fifo }
    m:await_generation(generation + 1)
    assert.are.equal(0, reloading:wait(20))
    assert.are.equal(200, (m:get "/readyz"))
  end)

  it("holds up nobody who asks for a reload for longer than 30 seconds, and what was written goes live", function()
    local fifo = process.directory() .. "/fifo"
    assert(os.execute("mkfifo " .. fifo) == 0)
    local routes = { ["a.lua"] = HANGING:format(fifo), ["b.lua"] = swapping.counting("b", "v1") }
    local m = swapping.start(routes, { workers = 1, clock = true })
    local client = assert(swapping.open "a")
    assert.are.equal("hanging", net.ask(client, "now"))
    local reloading
    m:write("b.lua", swapping.counting("b", "v2"))
    reloading = process.start { moongate.binary, "reload", "--control", m.control }
    process.wait_for(function()
      m:advance(0.1)
      return m:status().reload.phase == "swapping"
    end, 30)
    local generation = m:generation()
    m:advance(31)
    assert.are.equal(1, reloading:wait(20))
    local says = "not live yet: worker 1 does not answer; what is in the files goes live when it goes on"
    assert.truthy(reloading:err():find(says, 1, true), reloading:err())
    local status, body = m:request("POST", "/api/v1/reload")
    assert.are.equal(503, status)
    assert.truthy(body:find(says, 1, true), body)
    status, body = m:request("PUT", "/api/v1/files/b.lua", { body = swapping.counting("b", "v3") })
    assert.are.equal(409, status)
    assert.truthy(body:find(says, 1, true), body)
    status, body = m:request("DELETE", "/api/v1/files/b.lua")
    assert.are.equal(409, status)
    assert.truthy(body:find(says, 1, true), body)
    process.run { "sh", "-c", ": > " .. fifo }
    m:await_generation(generation + 2)
  end)
end)

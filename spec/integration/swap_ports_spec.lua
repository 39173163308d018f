-- SPDX-License-Identifier: MIT
--
-- Ports are opened and closed by difference, and a file whose port can't be had keeps its last good version.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("the ports of a changed file", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  -- A file of one handler route on that port.
  local function on_port(name, version, port)
    local handler = ("handler = function(socket) socket:send '%s 0\\n' end"):format(version)
    return "return " .. swapping.route(name, handler, nil, port)
  end

  it("are opened and closed", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local descriptors = m:fds()
    local held = assert(swapping.open "a")
    m:write("a.lua", on_port("a", "moved", swapping.port "k"))
    swapping.await("k", "moved")
    swapping.await_refused "a"
    assert.are.same({ swapping.port "k" }, m:ports "a")
    assert.are.equal("v1: on 1", net.ask(held, "on"))
    m:write("a.lua", counting("a", "back"))
    swapping.await("a", "back")
    swapping.await_refused "k"
    held:close()
    process.wait_for(function()
      return m:fds() <= descriptors
    end, 30, "descriptors to be closed")
    assert.are.equal("v1", (swapping.ask "b"))
  end)

  it("that stay are open all the while", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v0") }, { workers = 2 })
    local refused = 0
    for i = 1, 10 do
      m:write("a.lua", counting("a", "v" .. i))
      process.wait_for(function()
        local version, message = swapping.ask "a"
        refused = refused + (version and 0 or 1)
        return version == "v" .. i, message
      end)
    end
    assert.are.equal(0, refused)
  end)

  it("are taken over by another file in the same save", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    m:write("a.lua", on_port("a", "from a", swapping.port "b"))
    m:write("b.lua", on_port("b", "from b", swapping.port "a"))
    swapping.await("a", "from b")
    swapping.await("b", "from a")
    m:await_well "a.lua"
    m:await_well "b.lua"
  end)

  it("that the kernel chose stay what they are", function()
    local text = "return { name = 'any', match = { ports = 0 }, action = { handler = %s } }"
    local m = swapping.start {
      ["a.lua"] = text:format "moongate.handlers.block 'v1'",
      ["b.lua"] = counting("b", "v1"),
    }
    local port = m:port "any"
    m:write("b.lua", counting("b", "v2"))
    swapping.await("b", "v2")
    assert.are.equal(port, m:port "any")
    m:write("a.lua", text:format "moongate.handlers.block 'v2'")
    process.wait_for(function()
      return net.connect(m:port "any"):receive_all() == "v2"
    end)
    assert.are.equal(port, m:port "any")
  end)

  it("that another program has: it keeps its last good version, and the other files go live", function()
    local m = swapping.start({
      ["a.lua"] = counting("a", "v1"),
      ["b.lua"] = counting("b", "v1"),
      ["c.lua"] = counting("c", "v1"),
    }, { workers = 2 })
    local descriptors = m:fds()
    local port = swapping.port "k"
    local owner = net.listen { host = swapping.host, port = port }
    m:write("a.lua", counting("a", "v2"))
    m:write("b.lua", on_port("b", "v2", port))
    m:write("c.lua", counting("c", "v2"))
    local fault = m:await_fault("b.lua", tostring(port))
    assert.truthy(fault.file:find("b.lua", 1, true), fault.file)
    swapping.await("a", "v2")
    swapping.await("c", "v2")
    assert.are.equal("v1", (swapping.ask "b"))
    assert.are.equal(0, m:metric 'route_file_ok{file="b.lua"}')
    assert.are.equal(1, m:metric 'route_file_ok{file="a.lua"}')
    m:await_log("b%.lua.*" .. port)
    local answer = m:reload()
    assert.are.equal(1, answer.status)
    local said = answer.out .. answer.err
    assert.truthy(said:find("b.lua", 1, true) and said:find(tostring(port), 1, true), said)
    -- Other saves meanwhile.
    m:write("a.lua", counting("a", "v3"))
    swapping.await("a", "v3")
    assert.are.equal("v1", (swapping.ask "b"))
    process.wait_for(function()
      return m:fds() <= descriptors
    end, 30, "descriptors to be closed")
    -- The port is free, the file is saved again.
    owner:close()
    m:write("b.lua", on_port("b", "v3", port))
    swapping.await(port, "v3")
    swapping.await_refused "b"
    m:await_well "b.lua"
    assert.are.equal(1, m:metric 'route_file_ok{file="b.lua"}')
  end)

  it("that another program had are tried again by a reload", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local port = swapping.port "k"
    local owner = net.listen { host = swapping.host, port = port }
    m:write("b.lua", on_port("b", "v2", port))
    m:await_fault("b.lua", tostring(port))
    owner:close()
    local answer = m:reload()
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    assert.are.equal("v2", (swapping.ask(port)))
  end)

  it("that another program had are taken up by themselves, and told once and once more", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local port = swapping.port "k"
    local owner = net.listen { host = swapping.host, port = port }
    m:write("b.lua", on_port("b", "v2", port))
    assert.truthy(m:await_fault("b.lua", tostring(port)).message:find("goes live by itself", 1, true))
    assert.is_true(m:files()["b.lua"].waits)
    local status, body = m:request("PUT", "/api/v1/files/b.lua", { body = on_port("b", "v3", port) })
    assert.are.equal(422, status, body)
    process.nap(1.5)
    assert.are.equal("v1", (swapping.ask "b"))
    local swaps = m:metric "swaps_total"
    owner:close()
    swapping.await(port, "v2")
    m:await_well "b.lua"
    assert.is_false(m:files()["b.lua"].waits)
    assert.are.equal(swaps + 1, m:metric "swaps_total")
    m:await_log "a route file is well again[^\n]*b%.lua"
    local _, told = m:log():gsub("the file waits, and its last good version", "")
    assert.are.equal(1, told, m:log())
  end)

  it("in a queue are accepted before they are closed", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    -- Whoever has connected when the port goes is answered, and not reset.
    local clients = {}
    m:write("a.lua", on_port("a", "moved", swapping.port "k"))
    process.wait_for(function()
      local client = swapping.connect "a"
      clients[#clients + 1] = client
      return not client or swapping.ask "k"
    end)
    local reset = 0
    for _, client in ipairs(clients) do
      reset = reset + (client:receive_line() and 0 or 1)
    end
    assert.truthy(reset <= 1, reset .. " reset") -- one may have come just between the last accept and the close
  end)
end)

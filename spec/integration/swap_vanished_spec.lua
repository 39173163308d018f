-- SPDX-License-Identifier: MIT
--
-- A file that is gone for a moment: a directory that is made anew, an editor or rsync at work. Its ports stay open, its
-- connections and states are left alone; what stays away is taken for gone.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a route file that vanishes", function()
  after_each(moongate.finish)

  local counting = swapping.counting
  local CLOSING = "on_change = 'close'"

  -- Asks again and again for so long: every answer is that version's, and each has counted the one before.
  local function expect_served(name, version, seconds)
    local due, last = process.now() + seconds, nil
    repeat
      local found, count = swapping.ask(name)
      assert.are.equal(version, found)
      assert.is_true(last == nil or count == last + 1, "its states are others now")
      last = count
      process.nap(0.02)
    until process.now() > due
  end

  it("with its directory, and comes back, was served all the while", function()
    local files = { ["a.lua"] = counting("a", "v1", CLOSING), ["b.lua"] = counting("b", "v1", CLOSING) }
    local m = swapping.start(files, { workers = 1 })
    local held = assert(swapping.open "a")
    assert.are.equal("v1: one 1", net.ask(held, "one"))
    for name in pairs(files) do
      m:delete(name)
    end
    assert(lfs.rmdir(m.directory .. "/routes"))
    expect_served("b", "v1", 0.5)
    assert(lfs.mkdir(m.directory .. "/routes"))
    expect_served("b", "v1", 1)
    for name, text in pairs(files) do
      process.write(m:path(name), text)
    end
    expect_served("b", "v1", 2.5)
    assert.are.equal("v1: two 1", net.ask(held, "two"))
    assert.are.equal(1, m:generation())
    assert.is_nil(m:log():find("removed=", 1, true), m:log())
    assert.is_nil(m:log():find("nothing is served", 1, true), m:log())
  end)

  it("for a second, and comes back changed, is changed and no more", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    m:delete "a.lua"
    expect_served("a", "v1", 1)
    assert.is_true(m:files()["a.lua"].vanished)
    m:overwrite("a.lua", counting("a", "v2"))
    swapping.await("a", "v2")
    assert.are.equal(2, m:generation())
    assert.are.equal(2, m:files()["a.lua"].version)
  end)

  it("and stays away is gone after two seconds", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local began = process.now()
    m:delete "a.lua"
    expect_served("a", "v1", 1.5)
    swapping.await_refused "a"
    local took = process.now() - began
    assert.is_true(took >= 2, took)
    assert.is_nil(m:files()["a.lua"])
    m:await_log "removed=a%.lua"
  end)

  -- Until it is: well before the two seconds of one that stays away.
  local function expect_gone_soon(m, name, began)
    process.wait_for(function()
      return not m:files()[name]
    end)
    local took = process.now() - began
    assert.is_true(took < 1.8, ("%s was there for %.1f s"):format(name, took))
  end

  it("and has another name now is gone at once", function()
    local m = swapping.start { ["a.lua"] = "return { match = { address = '" .. swapping.host
      .. "', ports = 20001 }, action = { handler = moongate.handlers.echo() } }" }
    local began = process.now()
    m:rename("a.lua", "z.lua")
    expect_gone_soon(m, "a.lua", began)
    assert.is_true(m:files()["z.lua"].ok)
    assert(swapping.connect "a")
  end)

  it("and whose routes another file has now is gone at once, and that one not at fault", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local began = process.now()
    m:delete "a.lua"
    m:write("b.lua", ("return { %s, %s }"):format(
      swapping.route("a", "handler = moongate.handlers.block 'both 0\\n'"),
      swapping.route("b", "handler = moongate.handlers.block 'both 0\\n'")))
    swapping.await("a", "both")
    expect_gone_soon(m, "a.lua", began)
    assert.is_nil(m:log():find("level=error", 1, true), m:log())
  end)

  it("is gone at once for who asks: by a reload, or by the API", function()
    local m = swapping.start {
      ["a.lua"] = counting("a", "v1"),
      ["b.lua"] = counting("b", "v1"),
      ["c.lua"] = counting("c", "v1"),
    }
    m:delete "a.lua"
    local answer = m:reload()
    assert.truthy(answer.out:find("a.lua", 1, true), answer.out)
    assert.is_nil(m:files()["a.lua"])
    assert.are.same({ nil, "refused" }, { swapping.connect "a" })
    assert.are.equal(200, (m:request("DELETE", "/api/v1/files/b.lua")))
    assert.is_nil(m:files()["b.lua"])
    assert.are.same({ nil, "refused" }, { swapping.connect "b" })
    assert.are.equal("v1", (swapping.ask "c"))
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- A file that is broken when moongate starts: its last good version, kept under the state directory, goes live.

local moongate = require "spec.support.moongate"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a restart", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  -- Ends it without warning, and starts another on the same directory.
  local function kill_and_start(m, flags)
    m.process:signal "SIGKILL"
    assert(m.process:wait(5))
    m.stopped = true
    local space = { directory = m.directory, control = m.control, config_path = m.config_path }
    return moongate.start { space = space, flags = flags, ready = false }
  end

  local function await_ready(m)
    process.wait_for(function()
      assert(m.process:alive(), m:log())
      return m:get "/readyz" == 200
    end, 20, "moongate to get ready")
  end

  it("after kill -9 has the last good version of a broken file, and tells the fault", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }, { workers = 2 })
    m:write("a.lua", counting("a", "v2"))
    assert.are.equal(0, m:reload().status)
    m:write("a.lua", "return {\n  name = = 1\n}")
    assert.are.equal(1, m:reload().status)
    m = kill_and_start(m)
    await_ready(m)
    assert.are.equal("v2", (swapping.ask "a"))
    assert.are.equal("v1", (swapping.ask "b"))
    local fault = m:await_fault "a.lua"
    assert.are.equal(2, fault.line)
    assert.are.equal(0, m:metric 'route_file_ok{file="a.lua"}')
    assert.are.equal(1, m:metric 'route_file_ok{file="b.lua"}')
    m:await_log "the file keeps its last good version[^\n]*a%.lua"
    -- What stands in comes from the earlier run, also once a reload has looked again.
    for _ = 1, 2 do
      assert.are.same({ "last_good", "live" }, { m:files()["a.lua"].state, m:files()["b.lua"].state })
      assert.are.equal(1, m:reload().status)
    end
    -- And once more: the kept version is the good one still.
    m = kill_and_start(m)
    await_ready(m)
    assert.are.equal("v2", (swapping.ask "a"))
    m:write("a.lua", counting("a", "v3"))
    swapping.await("a", "v3")
    m:await_well "a.lua"
    assert.are.equal(0, m:reload().status)
    m:write("a.lua", "return {")
    m = kill_and_start(m)
    await_ready(m)
    assert.are.equal("v3", (swapping.ask "a"))
  end)

  it("has a file's last good version with the modules it had then", function()
    local function user(version)
      local text = counting("a", "VERSION"):gsub('"VERSION"', ("%q .. require('shared').version"):format(version))
      return text
    end
    local space = moongate.workspace { routes = { ["a.lua"] = user "v1" } }
    process.write(space.directory .. "/shared.lua", "return { version = 'm1' }")
    local m = moongate.start { space = space }
    assert.are.equal("v1m1", (swapping.ask "a"))
    assert.are.equal(0, m:reload().status)
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    m = kill_and_start(m)
    await_ready(m)
    assert.are.equal("v1m1", (swapping.ask "a"))
  end)

  it("does not bring back a file that was deleted, running or not", function()
    local m = swapping.start {
      ["a.lua"] = counting("a", "v1"),
      ["b.lua"] = counting("b", "v1"),
      ["c.lua"] = counting("c", "v1"),
    }
    m:delete "a.lua"
    swapping.await_refused "a"
    m:await_generation(2)
    assert.are.equal(0, m:reload().status)
    m.process:signal "SIGKILL"
    assert(m.process:wait(5))
    m:delete "b.lua"
    m = kill_and_start(m)
    await_ready(m)
    assert.are.same({ nil, "refused" }, { swapping.ask "a" })
    assert.are.same({ nil, "refused" }, { swapping.ask "b" })
    assert.are.equal("v1", (swapping.ask "c"))
    -- A file of that name that comes later, and is broken, has no last good version.
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    m = kill_and_start(m)
    await_ready(m)
    assert.are.same({ nil, "refused" }, { swapping.ask "a" })
  end)

  it("with --strict is refused while a file is broken", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    m = kill_and_start(m, { "--strict" })
    m.may_fail = true
    assert.are.equal(1, m.process:wait(15), m:log())
    assert.truthy(m:log():find("a.lua:1:", 1, true), m:log())
  end)

  it("does without a kept version that is damaged", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    assert.are.equal(0, m:reload().status)
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    -- Whatever is kept of it, and wherever.
    local find = "find %s/state -type f ! -name lock -exec sh -c 'printf damaged > \"$1\"' - {} \\;"
    assert(os.execute(find:format(m.directory)) == 0)
    m = kill_and_start(m)
    await_ready(m)
    assert.are.equal("v1", (swapping.ask "b"))
    assert.are.same({ nil, "refused" }, { swapping.ask "a" })
    m:await_fault "a.lua"
    m:write("a.lua", counting("a", "v2"))
    swapping.await("a", "v2")
  end)

  it("does without kept versions that others may have planted, and says which and why", function()
    local files = {}
    for _, name in ipairs { "a", "b", "c", "d" } do
      files[name .. ".lua"] = counting(name, "v1")
    end
    local m = swapping.start(files)
    assert.are.equal(0, m:reload().status)
    for name in pairs(files) do
      m:write(name, "return {")
      m:await_fault(name)
    end
    m.process:signal "SIGKILL"
    assert(m.process:wait(5))
    local copies = m.directory .. "/state/last-good/"
    local is_root = require("posix.unistd").geteuid() == 0
    assert.are.equal(0, os.execute(("cd %s && chmod 666 a.lua && mv b.lua %s/b && ln -s %s/b b.lua && %s c.lua")
      :format(copies, m.directory, m.directory, is_root and "chown 1" or "chmod g+w")))
    m = kill_and_start(m)
    await_ready(m)
    for name, why in pairs {
      a = "it may be written by others, and would be believed: remove it, or chmod go%-w it",
      b = "it is a link: remove it",
      c = is_root and "it belongs to [^\n]*: remove it, or chown it" or "may be written by others",
    } do
      m:await_log(("its last good version %%(%s%s.lua%%) can't be served either: %s")
        :format(copies:gsub("%p", "%%%0"), name, why))
      assert.are.same({ nil, "refused" }, { swapping.ask(name) })
    end
    assert.are.equal("v1", (swapping.ask "d"))
    -- A good file's copy is ours again.
    m:write("c.lua", counting("c", "v2"))
    swapping.await("c", "v2")
    assert.are.equal(1, m:reload().status)
    m:write("c.lua", "return {")
    m = kill_and_start(m)
    await_ready(m)
    assert.are.equal("v2", (swapping.ask "c"))
  end)

  it("is that of the release before, when a link on the way leads to a broken one", function()
    local space = moongate.workspace {}
    local root = space.directory
    assert(os.execute(("cd %s && rmdir routes && mkdir -p r1/routes r2/routes && ln -s r1 current"):format(root)) == 0)
    process.write(root .. "/r1/routes/a.lua", counting("a", "v1"))
    process.write(root .. "/r2/routes/a.lua", "return {")
    process.write(root .. "/r2/routes/b.lua", counting("b", "v1"))
    space.routes = root .. "/current/routes"
    local m = moongate.start { space = space }
    assert.are.equal("v1", (swapping.ask "a"))
    process.wait_for(function()
      return process.read(root .. "/state/last-good/a.lua") ~= ""
    end)
    assert.are.equal(0, m:stop())
    assert(os.execute(("ln -sfn r2 %s/current"):format(root)) == 0)
    m = moongate.start { space = space }
    assert.are.equal("v1", (swapping.ask "a"))
    assert.are.equal("last_good", m:files()["a.lua"].state)
  end)

  it("works where the state can't be written", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    -- A file stands where directories would be made; the old stays live and swaps go on.
    assert(os.execute(("find %s/state -mindepth 1 ! -name lock -delete"):format(m.directory)) == 0)
    m:write("a.lua", counting("a", "v2"))
    swapping.await("a", "v2")
    assert.truthy(m.process:alive())
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- A state directory that can't be written, at the start or since: traffic flows, it is said what does not survive a
-- restart, and the directory is taken up by itself when it is well. File systems are real ones, in a mount namespace of
-- moongate's own.

local cjson = require "cjson"
local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"
local unistd = require "posix.unistd"

local namespaces = unistd.geteuid() == 0 and "-m" or "-rm"
local possible = process.run({ "unshare", namespaces, "true" }).status == 0

describe("a state directory", function()
  after_each(moongate.finish)

  if not possible then
    pending "of another file system: no mount namespace can be made here"
    return
  end

  local counting = swapping.counting

  -- Starts it with what `script` does before: $1 is the state directory.
  local function start(script, options)
    options = options or {}
    options.routes = options.routes or { ["a.lua"] = counting("a", "v1") }
    options.space = moongate.workspace(options)
    options.within = { "unshare", namespaces, "--propagation", "private", "sh", "-c",
      "state=$1; shift; " .. script .. '; exec "$@"', "sh", options.space.directory .. "/state" }
    return moongate.start(options)
  end

  local function within(m, script)
    local done = process.run { "nsenter", "--mount", "--target", m.process.pid, "sh", "-c", script, "sh",
      m.directory .. "/state" }
    assert.are.equal(0, done.status, done.err)
  end

  local function count(text, pattern)
    return select(2, text:gsub(pattern, ""))
  end

  local function expect_fault(m)
    local fault = process.wait_for(function()
      return m:status().faults[1]
    end)
    assert.are.equal("state", fault.field)
    assert.truthy(fault.message:find("/state", 1, true), fault.message)
    assert.are.equal(1, m:metric "part_faults")
    local said = moongate.command { "status", "--control", m.control }
    assert.truthy(said.out:find("last good versions", 1, true), said.out)
    return fault
  end

  -- It is well by itself: the lock, the mark and the copies are there, and the log says so.
  local function expect_well(m)
    process.wait_for(function()
      return #m:status().faults == 0
    end, 15, "the state to be well")
    within(m, 'test -e "$1/lock" && test -s "$1/loading" && test -s "$1/last-good/a.lua"')
    assert.are.equal(0, m:metric "part_faults")
    m:await_log "the state directory is well again"
    assert.are.equal(1, count(m:log(), "level=error msg=\"the state directory can't be used"), m:log())
    assert.is_nil(m:log():find('at=""', 1, true), m:log())
  end

  it("that can't be written at the start is done without, and taken up when it can be", function()
    local m = start 'mount -t tmpfs -o ro,mode=700 tmpfs "$state"'
    assert.are.equal("v1", (swapping.ask "a"))
    assert.truthy(expect_fault(m).message:find("Read-only", 1, true))
    m:write("a.lua", counting("a", "v2"))
    swapping.await("a", "v2")
    process.nap(1)
    within(m, 'mount -o remount,rw "$1"')
    expect_well(m)
    -- Whoever else wants it is refused from now on.
    local other = moongate.start { routes = "return {}", state = m.directory .. "/state", ready = false,
      within = { "nsenter", "--mount", "--target", m.process.pid } }
    other.may_fail = true
    assert.are.equal(1, other.process:wait(20))
    assert.truthy(other:log():find("another moongate", 1, true), other:log())
  end)

  it("that is full at the start is done without, and taken up when there is room", function()
    local m = start [[mount -t tmpfs -o size=16k,mode=700 tmpfs "$state"; cat /dev/zero > "$state/full" 2>/dev/null]]
    assert.are.equal("v1", (swapping.ask "a"))
    assert.truthy(expect_fault(m).message:find("No space", 1, true))
    within(m, 'rm "$1/full"')
    expect_well(m)
  end)

  it("that is full later is told of, and written when there is room", function()
    local m = start [[mount -t tmpfs -o size=64k,mode=700 tmpfs "$state"]]
    process.wait_for(function()
      return process.run({ "nsenter", "--mount", "--target", m.process.pid, "test", "-s",
        m.directory .. "/state/last-good/a.lua" }).status == 0
    end)
    within(m, [[cat /dev/zero > "$1/full" 2>/dev/null; true]])
    m:write("a.lua", counting("a", "v2") .. ("-- %s\n"):format(("x"):rep(20000)))
    swapping.await("a", "v2")
    expect_fault(m)
    within(m, 'rm "$1/full"')
    expect_well(m)
    within(m, 'grep -q xxxx "$1/last-good/a.lua"')
  end)

  it("that can't be written is an error where faults are not lived with", function()
    local m = start('mount -t tmpfs -o ro,mode=700 tmpfs "$state"', { flags = { "--strict" }, ready = false })
    m.may_fail = true
    assert.are.equal(1, m.process:wait(20))
    assert.truthy(m:log():find("/state/lock", 1, true), m:log())
  end)

  it("of a control socket that can't be made is done without too", function()
    local m = start('mkdir "$state/ro"; mount -t tmpfs -o ro tmpfs "$state/ro"', {
      admin = true,
      flags = { "--control", "state/ro/control.sock" },
      ready = false,
    })
    process.wait_for(function()
      return m:request("GET", "/readyz", { tcp = true }) == 200
    end)
    assert.are.equal("v1", (swapping.ask "a"))
    local _, body = m:request("GET", "/api/v1/status", { tcp = true })
    local faults = cjson.decode(body).faults
    assert.are.equal("control", faults[1].field)
    assert.truthy(faults[1].message:find("Read-only", 1, true), faults[1].message)
    m:await_log "level=error msg=\"there is no control socket"
  end)

  it("that may be written by others is an error, as before", function()
    local m = start('chmod 777 "$state"', { ready = false })
    m.may_fail = true
    assert.are.equal(1, m.process:wait(20))
    assert.truthy(m:log():find("may be written by others", 1, true), m:log())
    assert.truthy(lfs.attributes(m.directory .. "/state"))
  end)
end)

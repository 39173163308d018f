-- SPDX-License-Identifier: MIT
--
-- A week of an operator: deployments by a link that is switched, by rsync, by git, by a mount; changes of the config;
-- restarts with a taken port, and a disk that is full. Nothing is closed that should not be, every fault is told and
-- taken back. In a mount namespace of moongate's own, with a state directory on a small file system.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"
local unistd = require "posix.unistd"

local namespaces = unistd.geteuid() == 0 and "-m" or "-rm"
local possible = process.run({ "unshare", namespaces, "true" }).status == 0
local rsync = process.run({ "sh", "-c", "command -v rsync" }).status == 0

describe("a week of an operator", function()
  after_each(moongate.finish)

  if not possible then
    pending "of real mounts: no mount namespace can be made here"
    return
  end

  local CLOSING = "on_change = 'close'"
  local m, space, target, admin, held

  local function shell(script, ...)
    local done = process.run({ "sh", "-euc", script, "sh", ... }, { cwd = space.directory })
    assert.are.equal(0, done.status, done.err)
  end

  local function within(script)
    local done = process.run { "nsenter", "--mount", "--target", m.process.pid, "sh", "-euc", script, "sh",
      space.directory }
    assert.are.equal(0, done.status, done.err)
  end

  -- The files of a release, by their names: "kept" and "wire" are never changed, and would be closed if they were.
  local function files(version)
    return {
      ["kept.lua"] = swapping.counting("kept", "kept", CLOSING),
      ["wire.lua"] = swapping.forwarding("wire", target:port(), CLOSING),
      ["site.lua"] = "require 'lib.text'\n" .. swapping.counting("site", version),
    }
  end
  -- Their ports, by their first letters: k, w, s.

  local function write_release(directory, version)
    shell('mkdir -p "$1/routes" "$1/lib" && echo "return 1" >"$1/lib/text.lua"', directory)
    for name, text in pairs(files(version)) do
      process.write(("%s/%s/routes/%s"):format(space.directory, directory, name), text)
    end
  end

  local function start()
    m = moongate.start {
      space = space,
      within = { "unshare", namespaces, "--propagation", "private", "sh", "-c",
        'state=$1; shift; mount -t tmpfs -o size=256k,mode=700 tmpfs "$state"; [ -e "$state.kept" ] && '
          .. 'cp -a "$state.kept/." "$state/"; exec "$@"', "sh", space.directory .. "/state" },
    }
    return m
  end

  -- Two clients that stay, and have to be there at the end of each day.
  local function hold()
    held = { talk = assert(swapping.open "kept"), wire = assert(swapping.connect "wire"), count = 0 }
    held.wire:send "x"
    held.accepted = target:accept()
    assert.are.equal("x", (held.accepted:receive(1)))
  end

  local function served(version)
    swapping.await("site", version)
  end

  -- What is to be true at the end of each day.
  local function expect_well(day)
    process.wait_for(function()
      for _, file in pairs(m:files()) do
        if not file.ok or file.vanished then
          return false
        end
      end
      return #m:status().faults == 0 and #m:status().config_faults == 0
    end, 15, day .. ": all to be well")
    held.count = held.count + 1
    local first = net.ask(held.talk, "day")
    held.first = held.first or first
    assert.are.equal(held.first, first, day .. ": the connection of a file that has not changed")
    held.wire:send "y"
    assert.are.equal("y", (held.accepted:receive(1)), day .. ": a forwarded connection")
    assert.are.equal("kept", (swapping.ask "kept"))
    assert.are.equal(1, m:files()["kept.lua"].version, day)
    assert.are.equal(1, m:files()["wire.lua"].version, day)
    assert.are.equal(0, m:metric 'connection_terminations_total{side="client",reason="changed"}', day)
    assert.are.equal(0, m:metric "part_faults")
    assert.are.equal(0, m:metric "route_files_waiting")
  end

  -- How many lines of the log are errors; each day says how many it has made.
  local told = 0
  local function expect_told(day, ...)
    local log, patterns = m:log(), { ... }
    local found = select(2, log:gsub("level=error", ""))
    for _, pattern in ipairs(patterns) do
      assert.truthy(log:find(pattern), ("%s: no %q in %s"):format(day, pattern, log))
    end
    assert.are.equal(told + #patterns, found, day .. ": " .. log)
    told = found
  end

  local function monday_relinks()
    write_release("releases/2", "monday")
    shell "ln -s releases/2 current.new && mv -T current.new current"
    served "monday"
    -- Back, and forth again: the old release is as it was.
    shell "ln -s releases/1 current.new && mv -T current.new current"
    served "sunday"
    shell "ln -sfn releases/2 current" -- not in one step: the link is away for a moment
    served "monday"
    shell "rm -rf releases/1"
    expect_well "monday"
    expect_told "monday"
  end

  -- As rsync does it: each file under another name beside its place, then renamed.
  local function copy_as_rsync(from, to)
    if rsync then
      shell('rsync -rc --delete "$1/" "$2/"', from, to)
    else
      shell('for file in "$1"/*.lua; do name=${file##*/}; cmp -s "$file" "$2/$name" && continue; '
        .. 'cp "$file" "$2/.$name.Xy12ab" && mv "$2/.$name.Xy12ab" "$2/$name"; done', from, to)
    end
  end

  local function tuesday_copies()
    write_release("staging", "tuesday")
    copy_as_rsync("staging/routes", "releases/2/routes")
    served "tuesday"
    process.write(space.directory .. "/staging/routes/site.lua", "return {\n  name = = 'typo' }")
    copy_as_rsync("staging/routes", "releases/2/routes")
    local fault = m:await_fault("site.lua", "unexpected symbol")
    assert.are.equal(2, fault.line)
    served "tuesday"
    write_release("staging", "tuesday evening")
    copy_as_rsync("staging/routes", "releases/2/routes")
    served "tuesday evening"
    -- Somebody begins with the end: all is removed, and copied a second later.
    shell "rm -rf releases/2/routes"
    process.nap(0.7)
    shell "mkdir releases/2/routes"
    process.nap(0.5)
    copy_as_rsync("staging/routes", "releases/2/routes")
    process.nap(2.5)
    expect_well "tuesday"
    m:await_log "a route file is well again[^\n]*site%.lua"
    expect_told("tuesday", "a fault in the routes: the file keeps[^\n]*site%.lua line=2",
      "the directory of the route files does not exist")
  end

  local function wednesday_checks_out()
    write_release("work", "tuesday evening")
    shell [[cd work; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      git init -q; git add .; git commit -qm one; git branch before]]
    write_release("work", "wednesday")
    process.write(space.directory .. "/work/routes/new.lua", swapping.counting("new", "new"))
    shell [[cd work; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
      git add .; git commit -qm two; git branch after; git checkout -q before]]
    shell "ln -s work current.new && mv -T current.new current"
    served "tuesday evening"
    shell "cd work && git checkout -q after"
    served "wednesday"
    swapping.await("new", "new")
    shell "cd work && git checkout -q before"
    served "tuesday evening"
    swapping.await_refused "new"
    shell "cd work && git checkout -q after"
    served "wednesday"
    swapping.await("new", "new")
    shell "cd work && git rm -q routes/new.lua"
    swapping.await_refused "new"
    expect_well "wednesday"
    expect_told "wednesday"
  end

  local function thursday_mounts()
    write_release("mounted", "thursday")
    within 'mount --bind "$1/mounted/routes" "$1/work/routes"'
    served "thursday"
    process.write(space.directory .. "/mounted/routes/site.lua",
      "require 'lib.text'\n" .. swapping.counting("site", "thursday noon"))
    served "thursday noon"
    within 'umount "$1/work/routes"'
    served "wednesday"
    within 'mount --bind "$1/mounted/routes/site.lua" "$1/work/routes/site.lua"'
    served "thursday noon"
    process.write(space.directory .. "/mounted/routes/site.lua",
      "require 'lib.text'\n" .. swapping.counting("site", "thursday evening"))
    served "thursday evening"
    within 'umount "$1/work/routes/site.lua"'
    served "wednesday"
    expect_well "thursday"
    expect_told "thursday"
  end

  local function friday_configures()
    local text = process.read(space.config_path)
    process.write(space.config_path, (text:gsub('linger = "2s"', 'linger = "3s", idle = "2h"')))
    local said = m:reload()
    assert.are.equal(0, said.status, said.out .. said.err)
    assert.is_nil(said.out:find("files? changed"), said.out)
    process.write(space.config_path, "return { wrokers = 2 }")
    assert.are.equal(1, m:reload().status)
    assert.are.equal(1, m:metric "config_faults")
    process.write(space.config_path, (text:gsub("workers = 1", "workers = 2")))
    said = m:reload()
    assert.truthy((said.out .. said.err):find("workers", 1, true), said.out .. said.err)
    assert.are.equal(1, m:metric "restart_needed_settings")
    process.write(space.config_path, text)
    assert.are.equal(0, m:reload().status)
    assert.are.equal(0, m:metric "restart_needed_settings")
    expect_well "friday"
    m:await_log "the config is well again"
    expect_told("friday", "a fault in the config: it stays as it was")
  end

  local function saturday_restarts()
    within 'cp -a "$1/state" "$1/state.kept"'
    held.talk:close()
    held.wire:close()
    assert.are.equal(0, m:stop())
    local owner = net.listen { host = swapping.host, port = swapping.port "wire" }
    local other = net.listen { host = "127.0.0.1", port = admin }
    start()
    told = 0
    served "wednesday"
    assert.are.equal("kept", (swapping.ask "kept"))
    assert.is_true(m:files()["wire.lua"].waits)
    assert.are.equal("admin.listen", m:status().faults[1].field)
    local said = moongate.command { "status", "--control", m.control }
    assert.truthy(said.out:find("waits", 1, true) and said.out:find("admin.listen", 1, true), said.out)
    process.nap(1)
    owner:close()
    other:close()
    m:await_well "wire.lua"
    hold()
    expect_well "saturday"
    m:await_log "a route file is well again[^\n]*wire%.lua"
    m:await_log "the admin interface is open now"
    expect_told("saturday", "the file waits[^\n]*wire%.lua", "the admin interface is not open")
  end

  local function sunday_is_full()
    process.wait_for(function()
      return pcall(within, 'test -s "$1/state/last-good/site.lua"')
    end)
    within 'cat /dev/zero >"$1/state/full" 2>/dev/null || true'
    process.write(space.directory .. "/work/routes/site.lua",
      "require 'lib.text'\n" .. swapping.counting("site", "full") .. ("-- %s\n"):format(("x"):rep(20000)))
    served "full"
    process.wait_for(function()
      return (m:status().faults[1] or {}).field == "state"
    end)
    assert.are.equal(0, m:reload().status)
    within 'rm "$1/state/full"'
    expect_well "sunday"
    within 'grep -q xxxx "$1/state/last-good/site.lua"'
    m:await_log "the state directory is well again"
    expect_told("sunday", "the state directory can't be used")
  end

  it("closes nothing that should not be, and tells and takes back every fault", function()
    target, admin = net.listen(), net.free_ports(1, "127.0.0.1")
    space = moongate.workspace {}
    process.write(space.config_path, (process.read(space.config_path):gsub("listen = false",
      ("listen = '127.0.0.1:%d'"):format(admin))))
    shell "rmdir routes && mkdir releases"
    write_release("releases/1", "sunday")
    shell "ln -s releases/1 current"
    space.routes = space.directory .. "/current/routes"
    assert.truthy(lfs.attributes(space.routes))
    start()
    served "sunday"
    hold()
    monday_relinks()
    tuesday_copies()
    wednesday_checks_out()
    thursday_mounts()
    friday_configures()
    saturday_restarts()
    sunday_is_full()
    assert.are.equal(0, m:stop())
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- A disk that does not answer, below the routes or the state: whoever has asked for a change waits for it no longer
-- than limits.load_time, and nothing else waits for it at all.

local cjson = require "cjson"
local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local BOUND = 1 -- seconds, of limits.load_time
local SOON = 20 -- seconds, in which a busy machine too does what does not wait; the disk is silent until we say

describe("a disk that does not answer", function()
  after_each(moongate.finish)

  local function answering(name, text)
    return ([[return { name = %q, match = { ports = 0 }, action = { handler = function(s) s:send(%q) end } }]]):format(
      name,
      text
    )
  end

  -- What waits of moongate's calls, for as long as it does: lines "FUNCTION PART-OF-PATH".
  local function silence(m, ...)
    process.write(m.disk, "")
    process.write(m.disk .. ".waits", "")
    process.write(m.disk, table.concat({ ... }, "\n"))
  end

  local function await_silence(m, seconds)
    process.wait_for(function()
      return process.read(m.disk .. ".waits"):find "w"
    end, seconds or 10, "a call to wait for the disk")
  end

  local function await_gone_on(m)
    process.wait_for(function()
      local _, begun = process.read(m.disk .. ".waits"):gsub("w", "")
      local _, gone_on = process.read(m.disk .. ".waits"):gsub("g", "")
      return begun == gone_on
    end, 10, "what has waited to go on")
  end

  local function answer(m)
    process.write(m.disk, "")
    await_gone_on(m)
  end

  local function start(bound)
    local space = moongate.workspace {
      config = ("limits = { load_time = '%ds' },"):format(bound or BOUND),
      routes = { ["a.lua"] = answering("a", "one") },
    }
    space.disk = space.directory .. "/disk"
    process.write(space.disk, "")
    process.write(space.disk .. ".waits", "")
    return moongate.start {
      space = space,
      env = { LD_PRELOAD = moongate.support .. "/disk_preload.so", MOONGATE_SPEC_DISK = space.disk },
    }
  end

  local function ask(m, name)
    local client = net.connect(m:port(name))
    local text = client and client:receive_all()
    return text
  end

  local function await_answer(m, name, text)
    process.wait_for(function()
      local fine, found = pcall(ask, m, name)
      return fine and found == text
    end, BOUND + SOON, ("%s to answer %s"):format(name, text))
  end

  -- What waits for the disk, or for the bound, is slow each time; a busy machine is not.
  local function expect_fast(fn)
    local given, took
    for _ = 1, 5 do
      local began = process.now()
      given = fn()
      took = process.now() - began
      if took < 3 then
        return given
      end
    end
    error(("%g s"):format(took), 2)
  end

  -- In a process of its own: it waits.
  local function request_apart(m, ...)
    local path = process.directory() .. "/answer"
    local words = { ... }
    for i, word in ipairs(words) do
      words[i] = "'" .. word .. "'"
    end
    os.execute(("curl -s -m 60 -o %s -w '%%{http_code}' --unix-socket %s %s > %s.status 2>/dev/null &"):format(
      path, m.control, table.concat(words, " "), path))
    return function()
      process.wait_for(function()
        return #process.read(path .. ".status") == 3
      end, 30, "an answer")
      return tonumber(process.read(path .. ".status")), process.read(path)
    end
  end

  local function put_apart(m, name, text)
    local file = process.write(process.directory() .. "/" .. name, text)
    return request_apart(m, "-T", file, "http://moongate/api/v1/files/" .. name)
  end

  local function expect_others_served(m)
    assert.are.equal(200, expect_fast(function()
      return (m:get "/healthz")
    end))
    assert.are.equal(200, expect_fast(function()
      return (m:get "/api/v1/files")
    end))
  end

  for _, call in ipairs { "fsync", "openat" } do
    it(("holds up a PUT within the bound, and nothing else, in %s()"):format(call), function()
      local m = start(3)
      silence(m, call .. " /routes/.put.lua.tmp")
      local answered = put_apart(m, "put.lua", answering("put", "well"))
      await_silence(m)
      expect_others_served(m)
      local status, body = answered()
      assert.are.equal(503, status, body)
      assert.matches("does not answer: nothing has changed", body)
      -- The directory is left alone, while changes of others go live.
      status, body = m:request("PUT", "/api/v1/files/other.lua", { body = answering("other", "well") })
      assert.are.equal(503, status, body)
      assert.are.equal(503, (m:request("DELETE", "/api/v1/files/a.lua")))
      m:write("a.lua", answering("a", "two"))
      await_answer(m, "a", "two")
      assert.are.equal(0, m:reload().status)
      answer(m)
      process.wait_for(function()
        return (m:request("PUT", "/api/v1/files/other.lua", { body = answering("other", "well") })) == 201
      end, 10, "the directory to be written again")
      assert.are.equal("well", ask(m, "other"))
      local names = {}
      for name in lfs.dir(m.directory .. "/routes") do
        names[#names + 1] = name
      end
      table.sort(names)
      assert.are.same({ ".", "..", "a.lua", "other.lua" }, names) -- what was answered with 503 never comes
    end)
  end

  it("leaves open what a PUT has come to that it is lost in at its very end", function()
    local m = start()
    silence(m, "renameat /routes/put.lua")
    local status, body = m:request("PUT", "/api/v1/files/put.lua", { body = answering("put", "well") })
    assert.are.equal(503, status, body)
    assert.matches("whether the file has changed shows when it does", body)
    answer(m)
    await_answer(m, "put", "well")
  end)

  it("holds up a DELETE within the bound", function()
    local m = start()
    silence(m, "unlinkat /routes/a.lua")
    local answered = request_apart(m, "-X", "DELETE", "http://moongate/api/v1/files/a.lua")
    await_silence(m)
    expect_others_served(m)
    local status, body = answered()
    assert.are.equal(503, status, body)
    assert.are.equal("one", ask(m, "a"))
    answer(m)
    process.wait_for(function()
      return not m:files()["a.lua"]
    end, 10, "a.lua to be gone")
  end)

  it("holds up the end for no longer than anything else", function()
    local m = start(60)
    silence(m, "fsync /routes")
    local answered = put_apart(m, "put.lua", answering("put", "well"))
    await_silence(m)
    assert.are.equal(0, m:stop()) -- which waits for 15 s, not for 60 s
    local status, body = answered()
    assert.are.equal(409, status)
    assert.matches("stopping", cjson.decode(body).error.message)
  end)

  for place, call in pairs {
    ["below the state"] = "openat /state/last-good",
    ["in reading what is there of last good versions"] = "readdir /state/last-good",
    ["in removing a last good version"] = "unlinkat /state/last-good/gone.lua",
    ["in reading the config"] = "open /moongate.lua",
    ["in marking what is loaded"] = "pwrite /state/loading",
    ["in setting what is watched"] = "inotify_add_watch /routes",
    ["in looking whether a module is as it was"] = "open /part.lua",
  } do
    it(("holds up a reload within the bound, %s"):format(place), function()
      local m = start()
      process.write(m.directory .. "/part.lua", "return {}")
      m:write("parted.lua", "require 'part' " .. answering("parted", "well"))
      m:write("gone.lua", answering("gone", "well"))
      await_answer(m, "gone", "well")
      await_answer(m, "parted", "well")
      process.wait_for(function()
        return lfs.attributes(m.directory .. "/state/last-good/gone.lua")
      end)
      silence(m, call)
      m:delete "gone.lua"
      m:write("a.lua", answering("a", "two"))
      local answered = request_apart(m, "-X", "POST", "http://moongate/api/v1/reload")
      await_silence(m)
      expect_others_served(m)
      local began = process.now()
      assert.is_truthy(answered())
      assert.is_true(process.now() - began < 2 * BOUND + SOON)
      m:await_log "a loader does not come back from a file"
      answer(m)
      m:write("a.lua", answering("a", "three"))
      await_answer(m, "a", "three")
      assert.are.equal("well", ask(m, "parted"))
      assert.are.equal(0, m:stop())
    end)
  end

  it("holds up nothing else while it is to be watched, and no change", function()
    local m = start(3)
    m:write("a.lua", answering("a", "zero"))
    await_answer(m, "a", "zero") -- it is watched
    silence(m, "inotify_add_watch /routes")
    m:write("a.lua", answering("a", "two"))
    await_silence(m)
    expect_others_served(m)
    await_answer(m, "a", "two")
    m:await_log("a loader does not come back from a file[^\n]* file=\"[^\"]*/routes %(watching it%)\"")
    -- The old watches go on telling, and no further thread is lost in new ones.
    m:write("a.lua", answering("a", "three"))
    await_answer(m, "a", "three")
    assert.are.equal(1, m:status().reload.lost_loaders)
    answer(m)
    m:write("a.lua", answering("a", "four"))
    await_answer(m, "a", "four")
  end)

  it("holds up nothing else below resolv.conf and the hosts file, and one thread", function()
    local m = start(1)
    silence(m, "stat /etc/", "open /etc/")
    await_silence(m)
    expect_others_served(m)
    m:await_log "resolv.conf or the hosts file can't be looked at; what they said holds"
    m:write("a.lua", answering("a", "two"))
    await_answer(m, "a", "two")
    process.nap(4.5) -- two more looks would have been due
    assert.are.equal(1, m:status().reload.lost_loaders)
    answer(m)
    process.wait_for(function()
      return m:status().reload.lost_loaders == 0
    end)
  end)

  it("holds up the end for no longer than anything else while it is to be watched", function()
    local m = start(60)
    silence(m, "inotify_add_watch /routes")
    m:write("a.lua", answering("a", "two"))
    await_silence(m)
    assert.are.equal(0, m:stop()) -- which waits for 15 s, not for 60 s
  end)

  it("holds up nothing but the answer while a snapshot is kept", function()
    local m = start(3)
    silence(m, "fsync /state/diagnose")
    local answered = request_apart(m, "-X", "POST", "http://moongate/api/v1/diagnose")
    await_silence(m)
    expect_others_served(m)
    local status, body = answered()
    assert.are.equal(200, status, body)
    assert.matches("/state/diagnose: the disk does not answer", cjson.decode(body).not_kept)
    -- No second thread is lost in it.
    local second = expect_fast(function()
      return (select(2, m:request("POST", "/api/v1/diagnose")))
    end)
    assert.matches("does not answer", cjson.decode(second).not_kept)
    assert.are.equal(1, m:status().reload.lost_loaders)
    answer(m)
    process.wait_for(function()
      local _, text = m:request("POST", "/api/v1/diagnose")
      return cjson.decode(text).path
    end, 10, "a snapshot to be kept again")
  end)

  it("holds up the end for no longer than anything else while a snapshot is kept", function()
    local m = start(60)
    silence(m, "fsync /state/diagnose")
    m.process:signal "SIGUSR1"
    await_silence(m)
    assert.are.equal(0, m:stop()) -- which waits for 15 s, not for 60 s
  end)

  for what, calls in pairs {
    ["at a module"] = { "open /modules/shared.lua", "stat /modules/shared.lua" },
    ["for the directory of a module"] = { "inotify_add_watch /modules" },
  } do
    it(("holds up a change within the bound, in looking %s"):format(what), function()
      local m = start()
      assert(lfs.mkdir(m.directory .. "/modules"))
      process.write(m.directory .. "/modules/shared.lua", "return 'well'")
      m:write("b.lua", "require 'modules.shared'\n" .. answering("b", "well"))
      await_answer(m, "b", "well")
      silence(m, unpack(calls))
      m:write("a.lua", answering("a", "two"))
      await_silence(m)
      expect_others_served(m)
      await_answer(m, "a", "two")
      assert.are.equal("well", ask(m, "b"))
      m:write("a.lua", answering("a", "three"))
      await_answer(m, "a", "three")
      assert.is_true(m:status().reload.lost_loaders <= 2)
      answer(m)
      process.write(m.directory .. "/modules/shared.lua", "return 'better'")
      process.wait_for(function()
        local b = m:files()["b.lua"]
        return b.ok and b.version > 1
      end, 10, "the module to be taken up")
    end)
  end

  it("does not keep a signal from ending a start that waits for it in marking what is loaded", function()
    local space = moongate.workspace {
      config = "limits = { load_time = '60s' },",
      routes = { ["a.lua"] = answering("a", "one") },
    }
    space.disk = space.directory .. "/disk"
    process.write(space.disk, "pwrite /state/loading")
    process.write(space.disk .. ".waits", "")
    local m = moongate.start {
      space = space,
      ready = false,
      env = { LD_PRELOAD = moongate.support .. "/disk_preload.so", MOONGATE_SPEC_DISK = space.disk },
    }
    m.may_fail = true
    await_silence(m)
    assert.are.equal(200, (m:get "/healthz"))
    m.process:signal "SIGTERM"
    assert.matches("^signal 1[45]$", m.process:wait(SOON))
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- Asked to reload: by the command, by SIGHUP, by the API; and what of the config changes then.

local cjson = require "cjson"
local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("a reload", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  local function save_config(m, change)
    local text = process.read(m.config_path)
    local changed, count = text:gsub(change[1], change[2])
    assert(count > 0, "nothing to change in the config")
    process.write(m.config_path, changed)
  end

  it("by the command waits until what was saved is live", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v0") }, { workers = 2 })
    for i = 1, 5 do
      m:write("a.lua", counting("a", "v" .. i))
      local answer = m:reload()
      assert.are.equal(0, answer.status, answer.out .. answer.err)
      assert.are.equal("v" .. i, (swapping.ask "a"))
    end
  end)

  it("by the command prints the faults, and fails", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    m:write("a.lua", "return {\n  name = = 1\n}")
    m:write("b.lua", "return { name = 'b', match = { portz = 80 }, action = { target = 'a:1' } }")
    m:write("c.lua", counting("c", "v1"))
    local answer = m:reload()
    local said = answer.out .. answer.err
    assert.are.equal(1, answer.status, said)
    for _, word in ipairs { "a.lua:2:", "b.lua:1:", 'route "b"', "match.portz", '"ports"' } do
      assert.truthy(said:find(word, 1, true), ("no %s in: %s"):format(word, said))
    end
    assert.falsy(said:find("c.lua:", 1, true), said)
    assert.are.equal("v1", (swapping.ask "c"))
    -- The same again: a fault stays one until it is mended.
    assert.are.equal(1, m:reload().status)
    answer = m:reload "--json"
    assert.are.equal(1, answer.status)
    local faults = cjson.decode(answer.out).faults
    assert.are.equal(2, #faults)
    m:write("a.lua", counting("a", "v2"))
    m:delete "b.lua"
    answer = m:reload()
    assert.are.equal(0, answer.status, answer.out .. answer.err)
  end)

  it("by the command says when there is nobody to ask", function()
    local answer = moongate.command { "reload", "--control", "/tmp/moongate-spec-nobody.sock" }
    assert.are.equal(1, answer.status)
    assert.truthy(answer.err:find("running", 1, true), answer.err)
  end)

  it("by SIGHUP takes up what was saved", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { config = "log = { level = 'info' }" })
    m:write("a.lua", counting("a", "v2"))
    m.process:signal "SIGHUP"
    swapping.await("a", "v2")
    -- And the config: with its level of `error` the log tells of no swap any more.
    save_config(m, { "level = 'info'", "level = 'error'" })
    m.process:signal "SIGHUP"
    process.wait_for(function()
      m:write("a.lua", counting("a", "v3") .. ("-- %.6f"):format(process.now()))
      local _, before = m:log():gsub("\n", "")
      assert.are.equal(0, m:reload().status)
      local _, after = m:log():gsub("\n", "")
      return after == before
    end, 10, "a quiet log")
    assert.are.equal("v3", (swapping.ask "a"))
  end)

  it("by many at once answers each of them", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    m:write("a.lua", counting("a", "v2"))
    local asking = {}
    for i = 1, 12 do
      asking[i] = process.start { moongate.binary, "reload", "--control", m.control }
    end
    for _, one in ipairs(asking) do
      assert.are.equal(0, one:wait(15), one:err())
    end
    assert.are.equal("v2", (swapping.ask "a"))
  end)

  it("by the API is answered on the control socket, with the faults", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    m:write("a.lua", counting("a", "v2"))
    local status, body = m:request("POST", "/api/v1/reload")
    assert.are.equal(200, status, body)
    assert.are.equal(0, #(cjson.decode(body).faults or {}))
    assert.are.equal("v2", (swapping.ask "a"))
    m:write("a.lua", "return {")
    status, body = m:request("POST", "/api/v1/reload")
    local faults = cjson.decode(body).faults
    assert.are.equal(1, #faults, ("%d: %s"):format(status, body))
    assert.truthy(faults[1].file:find("a.lua", 1, true))
    assert.are.equal(405, (m:request("GET", "/api/v1/reload")))
  end)

  describe("over TCP", function()
    local function refused(status)
      return status == 401 or status == 403
    end

    it("is refused where no token is set", function()
      local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { admin = true })
      assert.truthy(refused((m:request("POST", "/api/v1/reload", { tcp = true }))))
      local empty = { tcp = true, headers = { "Authorization: Bearer " } }
      assert.truthy(refused((m:request("POST", "/api/v1/reload", empty))))
      assert.are.equal(200, (m:request("GET", "/api/v1/files", { tcp = true })))
    end)

    it("takes the token that the config sets", function()
      local space = moongate.workspace { admin = true, routes = { ["a.lua"] = counting("a", "v1") } }
      save_config(space, { "admin = { ", "admin = { token = 'very-secret', " })
      local m = moongate.start { space = space }
      local function ask(...)
        return (m:request("POST", "/api/v1/reload", { tcp = true, headers = { ... } }))
      end
      assert.truthy(refused(ask "X: y"))
      local wrong_ones = { "Bearer", "Bearer very", "very-secret", "Bearer very-secretive", "Basic very-secret" }
      for _, wrong in ipairs(wrong_ones) do
        assert.truthy(refused(ask("Authorization: " .. wrong)), wrong)
      end
      m:write("a.lua", counting("a", "v2"))
      assert.are.equal(200, ask "Authorization: Bearer very-secret")
      assert.are.equal("v2", (swapping.ask "a"))
      assert.falsy(m:log():find("very-secret", 1, true), "the log tells the token")
    end)
  end)

  describe("of the config", function()
    it("changes timeouts", function()
      local target = net.listen()
      local routes = { ["a.lua"] = swapping.forwarding("a", target:port()), ["b.lua"] = counting("b", "v1") }
      local m = swapping.start(routes)
      local before = net.connect(swapping.port "a", { host = swapping.host })
      before:send "x"
      assert(target:accept())
      save_config(m, { 'linger = "2s"', 'linger = "2s", idle = "300ms"' })
      local answer = m:reload()
      assert.are.equal(0, answer.status, answer.out .. answer.err)
      local client = swapping.connect "a"
      client:send "x"
      local _, how = client:receive_all(5)
      assert.truthy(how == "end" or how == "reset", how)
      m:await_metric('connection_terminations_total{side="client",reason="idle"}', function(count)
        return count >= 1
      end)
      assert.are.equal("v1", (swapping.ask "b"))
    end)

    it("is told by the command and in the log, as is that there was nothing to change", function()
      local m = swapping.start { ["a.lua"] = counting("a", "v1") }
      local function reload()
        local answer = m:reload()
        assert.are.equal(0, answer.status, answer.out .. answer.err)
        return answer.out
      end
      assert.truthy(reload():find("no route file has changed", 1, true))
      save_config(m, { 'linger = "2s"', 'linger = "2s", idle = "300ms"' })
      assert.truthy(reload():find("the config changed", 1, true))
      m:await_log 'msg="live" [^\n]*config=changed'
      save_config(m, { 'idle = "300ms" },', 'idle = "300ms" }, log = { level = "debug" },' })
      m.process:signal "SIGHUP"
      m:await_log 'msg="the config is live"'
      assert.truthy(reload():find("no route file has changed", 1, true))
      m:await_log 'msg="nothing has changed"'
    end)

    it("says what needs a restart", function()
      local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { admin = true })
      save_config(m, { "workers = 1", "workers = 2" })
      save_config(m, { "127.0.0.1:" .. m.admin, "127.0.0.1:" .. net.free_ports(1, "127.0.0.1") })
      local answer = m:reload()
      local said = answer.out .. answer.err
      for _, word in ipairs { "workers", "admin.listen", "start" } do
        assert.truthy(said:find(word, 1, true), ("no %s in: %s"):format(word, said))
        m:await_log((word:gsub("%.", "%%.")))
      end
      assert.are.equal(1, m:status().workers)
      assert.are.equal(200, (m:request("GET", "/healthz", { tcp = true })))
    end)

    it("leaves until the next start what waits for it: other directories are neither read nor written", function()
      local by_config_alone = { "sh", "-c", 'exec "$1" run --config "$4"', "sh" }
      local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { within = by_config_alone })
      local other, state = m.directory .. "/other", m.directory .. "/other-state"
      assert(lfs.mkdir(other))
      process.write(other .. "/b.lua", counting("b", "v1"))
      save_config(m, { 'state = "[^"]*"', ("routes = %q, state = %q"):format(other, state) })
      local answer = m:reload()
      local said = answer.out .. answer.err
      assert.are.equal(0, answer.status, said)
      for _, word in ipairs { "routes is ", "state is ", "until the next start" } do
        assert.truthy(said:find(word, 1, true), ("no %s in: %s"):format(word, said))
      end
      assert.are.equal("v1", (swapping.ask "a"))
      assert.are.same({ nil, "refused" }, { swapping.ask "b" })
      m:write("a.lua", counting("a", "v2"))
      assert.are.equal(0, m:reload().status)
      assert.are.equal("v2", (swapping.ask "a"))
      assert.is_nil(lfs.attributes(state))
    end)

    it("that is broken changes nothing of it, and routes go live all the same", function()
      local m = swapping.start { ["a.lua"] = counting("a", "v1") }
      save_config(m, { "workers = 1", "workerz = 1" })
      m:write("a.lua", counting("a", "v2"))
      local answer = m:reload()
      local said = answer.out .. answer.err
      assert.are.equal(1, answer.status, said)
      for _, word in ipairs { "moongate.lua:2:", "workerz", "workers" } do
        assert.truthy(said:find(word, 1, true), ("no %s in: %s"):format(word, said))
      end
      swapping.await("a", "v2")
      save_config(m, { "workerz", "workers" })
      assert.are.equal(0, m:reload().status)
    end)

    it("merges new defaults under the routes", function()
      local target = net.listen()
      local m = swapping.start { ["a.lua"] = swapping.forwarding("a", target:port()) }
      save_config(m, { 'linger = "2s" },', 'linger = "2s" }, defaults = { timeouts = { idle = "300ms" } },' })
      local answer = m:reload()
      assert.are.equal(0, answer.status, answer.out .. answer.err)
      local client = swapping.connect "a"
      client:send "x"
      assert(target:accept())
      local _, how = client:receive_all(5)
      assert.truthy(how == "end" or how == "reset", how)
    end)
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- Route files by the API: put there when they are good, refused with their faults when not, deleted.

local cjson = require "cjson"
local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"
local swapping = require "spec.support.swapping"

describe("route files by the API", function()
  after_each(moongate.finish)

  local counting = swapping.counting

  local function put(m, name, text, options)
    options = options or {}
    options.body = text
    local status, body = m:request("PUT", "/api/v1/files/" .. name, options)
    local fine, decoded = pcall(cjson.decode, body or "")
    return status, fine and decoded or nil, body
  end

  local function names_in(directory)
    local names = {}
    for name in lfs.dir(directory) do
      names[#names + 1] = name ~= "." and name ~= ".." and name or nil
    end
    table.sort(names)
    return names
  end

  it("are listed with their state", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = "return {}" }
    local files = m:files()
    assert.is_true(files["a.lua"].ok)
    assert.are.equal(1, files["a.lua"].routes)
    assert.are.same({}, files["a.lua"].faults)
    assert.are.equal(0, files["b.lua"].routes)
    m:write("a.lua", "return { name = 'a', match = { portz = 1 }, action = { target = 'a:1' } }")
    local fault = m:await_fault("a.lua", "match.portz")
    assert.are.equal("a", fault.route)
    assert.are.equal("match.portz", fault.field)
    assert.are.equal(1, fault.line)
    assert.is_false(m:files()["a.lua"].ok)
  end)

  it("are live when the answer comes, and there", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { workers = 2 })
    local text = counting("b", "v1")
    local status, _, body = put(m, "b.lua", text)
    assert.truthy(status == 200 or status == 201, ("%s: %s"):format(status, body))
    assert.are.equal("v1", (swapping.ask "b"))
    assert.are.equal(text, process.read(m:path "b.lua"))
    for i = 2, 6 do
      status, _, body = put(m, "b.lua", counting("b", "v" .. i))
      assert.are.equal(200, status, body)
      assert.are.equal("v" .. i, (swapping.ask "b"))
    end
    assert.are.same({ "a.lua", "b.lua" }, names_in(m.directory .. "/routes"))
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
    assert.are.equal(0, m:reload().status)
  end)

  it("keep the owner and the mode of what they replace, and obey the umask when they are new", function()
    local m = moongate.start { routes = { ["kept.lua"] = "return {}", ["linked.lua"] = "return {}" } }
    local path = m:path "kept.lua"
    local as_root = require("posix.unistd").geteuid() == 0
    os.execute(("chmod 600 %s"):format(path))
    if as_root then
      os.execute(("chown daemon:games %s"):format(path))
    end
    local before = lfs.attributes(path)
    assert.are.equal(200, (m:request("PUT", "/api/v1/files/kept.lua", { body = "return { }" })))
    local after = lfs.attributes(path)
    assert.are_not.equal(before.ino, after.ino)
    for _, name in ipairs { "permissions", "uid", "gid" } do
      assert.are.equal(before[name], after[name], name)
    end
    assert.are.equal(201, (m:request("PUT", "/api/v1/files/new.lua", { body = "return {}" })))
    local beside = process.write(m:path "beside.txt", "made by this process, which has the same umask")
    assert.are.equal(lfs.attributes(beside, "permissions"), lfs.attributes(m:path "new.lua", "permissions"))
  end)

  it("take the place of our own link, and not of another user's", function()
    local m = moongate.start { routes = { ["a.lua"] = "return {}" } }
    local target = process.write(m.directory .. "/target.lua", "return {}")
    local path = m:path "link.lua"
    assert(lfs.link(target, path, true))
    assert.are.equal(200, (m:request("PUT", "/api/v1/files/link.lua", { body = "return { }" })))
    assert.are.equal("file", lfs.symlinkattributes(path, "mode"))
    assert.are.equal("return {}", process.read(target))
    if require("posix.unistd").geteuid() ~= 0 then
      return
    end
    os.remove(path)
    assert(lfs.link(target, path, true))
    os.execute(("chown -h daemon:daemon %s"):format(path))
    local status, body = m:request("PUT", "/api/v1/files/link.lua", { body = "return { }" })
    assert.are.equal(409, status)
    assert.truthy(body:find("another user's", 1, true), body)
    assert.are.equal("link", lfs.symlinkattributes(path, "mode"))
    assert.are.same({ "a.lua", "link.lua" }, names_in(m.directory .. "/routes")) -- nothing is left aside
  end)

  it("have their warnings in each answer, whoever has put them there and however long ago", function()
    local m = swapping.start {}
    local function warned(name) -- it forwards to itself
      local target = ("target = '%s:%d'"):format(swapping.host, swapping.port(name))
      return "return " .. swapping.route(name, target)
    end
    local function warnings_of(list, name)
      local count = 0
      for _, warning in ipairs(list) do
        count = count + (warning.file:find("/" .. name, 1, true) and 1 or 0)
      end
      return count
    end
    local function expect_warnings(name)
      assert.is_true(#m:files()[name].warnings > 0, name .. " has no warnings")
      local _, body = m:request("POST", "/api/v1/reload")
      assert.is_true(warnings_of(cjson.decode(body).warnings, name) > 0, body)
    end
    local status, body = m:request("PUT", "/api/v1/files/put.lua", { body = warned "put" })
    assert.are.equal(201, status, body)
    assert.is_true(warnings_of(cjson.decode(body).warnings, "put.lua") > 0, body)
    expect_warnings "put.lua"
    m:write("saved.lua", warned "saved")
    m:await_log 'msg="the routes: take note" file=[^\n]*saved.lua'
    process.wait_for(function() -- they are told before the swap
      return m:files()["saved.lua"]
    end, 10, "saved.lua to be live")
    expect_warnings "saved.lua"
    expect_warnings "put.lua"
    assert.are.equal(200, (m:request("PUT", "/api/v1/files/put.lua", { body = "return {}" })))
    assert.are.equal(0, #m:files()["put.lua"].warnings)
  end)

  it("are put there by curl", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    local path = process.write(m.directory .. "/b.lua", counting("b", "v1") .. ("-- a remark\n"):rep(120000))
    local url = "http://moongate/api/v1/files/b.lua"
    local answer = peers.curl { "--fail", "--unix-socket", m.control, "-T", path, url }
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    assert.are.equal("v1", (swapping.ask "b"))
    process.write(path, "return {")
    answer = peers.curl { "--unix-socket", m.control, "-w", "%{http_code}", "-T", path, url }
    assert.truthy(answer.out:find "422$", answer.out)
    answer = peers.curl { "--fail", "--unix-socket", m.control, "-X", "DELETE", url }
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    assert.are.same({ nil, "refused" }, { swapping.ask "b" })
  end)

  it("change nothing when they are bad", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
    local generation = m:generation()
    local bad = {
      { "return {\n  name = = 1\n}", 2 },
      { "return { name = 'a', match = { portz = 1 }, action = { target = 'a:1' } }", 1 },
      { "", nil },
      { "while true do end", 1 },
    }
    for _, case in ipairs(bad) do
      local status, answer, body = put(m, "a.lua", case[1])
      assert.are.equal(422, status, body)
      assert.truthy(#answer.faults >= 1, body)
      local fault = answer.faults[1]
      assert.truthy(fault.file:find("a.lua", 1, true), body)
      assert.are_not.equal("", fault.message)
      if case[2] then
        assert.are.equal(case[2], fault.line, body)
      end
      status = put(m, "n.lua", case[1])
      assert.are.equal(422, status)
    end
    local status, answer, body = put(m, "n.lua", counting("a", "another a"))
    assert.are.equal(422, status, body)
    assert.truthy(body:find("a.lua", 1, true), "both places are named: " .. body)
    assert.truthy(#answer.faults >= 1)
    assert.are.same({ "a.lua" }, names_in(m.directory .. "/routes"))
    assert.are.equal(counting("a", "v1"), process.read(m:path "a.lua"))
    assert.are.equal(generation, m:generation())
    assert.are.same({ "v1", 1 }, { swapping.ask "a" })
    assert.is_true(m:files()["a.lua"].ok)
    assert.is_nil(m:files()["n.lua"])
  end)

  it("can mend what was broken on the disk", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    m:write("a.lua", "return {")
    m:await_fault "a.lua"
    local status, _, body = put(m, "b.lua", counting("b", "v2"))
    assert.are.equal(200, status, body)
    assert.are.equal("v2", (swapping.ask "b"))
    status, _, body = put(m, "a.lua", counting("a", "v2"))
    assert.are.equal(200, status, body)
    assert.are.equal("v2", (swapping.ask "a"))
    m:await_well "a.lua"
  end)

  it("are deleted", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1"), ["b.lua"] = counting("b", "v1") }
    local held = assert(swapping.open "b")
    local status, body = m:request("DELETE", "/api/v1/files/b.lua")
    assert.truthy(status == 200 or status == 204, ("%s: %s"):format(status, body))
    assert.are.same({ nil, "refused" }, { swapping.ask "b" })
    assert.are.same({ "a.lua" }, names_in(m.directory .. "/routes"))
    assert.are.equal("v1: on 1", net.ask(held, "on"))
    assert.are.equal(404, (m:request("DELETE", "/api/v1/files/b.lua")))
    assert.are.equal(404, (m:request("DELETE", "/api/v1/files/never.lua")))
    assert.are.equal("v1", (swapping.ask "a"))
  end)

  it("have names that stay within the directory", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    local bad = {
      "../x.lua", "..%2fx.lua", "..%2Fx.lua", "%2e%2e/x.lua", "sub/x.lua", "/etc/x.lua", "x", "x.txt", ".lua", "..lua",
      ".x.lua", "x.lua/", "x.lua%00", "%00.lua", "x%20y.lua", "x%0a.lua", "x.lua~", "x*.lua", "", "%C3%A4.lua",
      ("x"):rep(300) .. ".lua", "x.lua%2f..%2fa.lua", "..", ".",
    }
    local refusals = { [400] = true, [404] = true, [405] = true, [414] = true }
    for _, name in ipairs(bad) do
      local status, _, body = put(m, name, counting("b", "v1"))
      assert.truthy(refusals[status], ("%s: %s %s"):format(name, status, body))
      status = m:request("DELETE", "/api/v1/files/" .. name)
      assert.truthy(refusals[status], ("DELETE %s: %s"):format(name, status))
    end
    assert.are.same({ "a.lua" }, names_in(m.directory .. "/routes"))
    assert.are.same({ nil, "refused" }, { swapping.ask "b" })
    for _, name in ipairs { "x.y.lua", "x-y_z.lua", "0.lua", "X.lua" } do
      assert.is_nil(lfs.attributes(m.directory .. "/x.lua"))
      local status, _, body = put(m, name, "return {}")
      assert.truthy(status == 200 or status == 201, ("%s: %s"):format(name, body))
      status = m:request("DELETE", "/api/v1/files/" .. name)
      assert.truthy(status == 200 or status == 204)
    end
  end)

  it("are bounded", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    local large = put(m, "a.lua", counting("a", "v2") .. "--" .. ("x"):rep(10 * 1024 * 1024))
    assert.truthy(large == nil or large == 413 or large == 422, tostring(large))
    assert.are.equal("v1", (swapping.ask "a"))
    -- One of a fair size is not too large.
    local status, _, body = put(m, "a.lua", counting("a", "v3") .. ("-- a remark\n"):rep(20000))
    assert.are.equal(200, status, body)
    assert.are.equal("v3", (swapping.ask "a"))
  end)

  it("whose port somebody else has change nothing", function()
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    local generation = m:generation()
    net.listen { host = swapping.host, port = swapping.port "b" }
    local function refused(name, text)
      local status, answer, body = put(m, name, text)
      assert.are.equal(422, status, body)
      assert.are.equal(1, #answer.faults, body)
      local fault = answer.faults[1]
      assert.are.equal("match.ports", fault.field)
      assert.truthy(fault.file:find("routes/" .. name, 1, true), body)
      assert.truthy(fault.line > 0, body)
      assert.truthy(fault.message:find(("port %d is in use"):format(swapping.port "b"), 1, true), body)
      return fault
    end
    assert.are.equal("b", refused("b.lua", counting("b", "v1")).route)
    -- A file that is live, one port of two.
    local both = ("{ %d, %d }"):format(swapping.port "a", swapping.port "b")
    local text = counting("a", "v2"):gsub("ports = %d+", "ports = " .. both)
    assert.are.equal("a", refused("a.lua", text).route)
    assert.are.same({ "a.lua" }, names_in(m.directory .. "/routes"))
    assert.are.equal(counting("a", "v1"), process.read(m:path "a.lua"))
    assert.are.equal(generation, m:generation())
    assert.are.equal(0, m:reload().status)
    assert.are.same({ "v1", 0 }, { swapping.ask "a" })
  end)

  it("may move to another address of a port that is ours, unless somebody else has it there", function()
    local function at(address)
      return (counting("a", "v2"):gsub(("%q"):format(swapping.host), ("%q"):format(address)))
    end
    local m = swapping.start { ["a.lua"] = counting("a", "v1") }
    net.listen { host = "127.0.0.1", port = swapping.port "a" }
    local status, answer, body = put(m, "a.lua", at "127.0.0.1")
    assert.are.equal(422, status, body)
    assert.truthy(answer.faults[1].message:find("in use", 1, true), body)
    assert.are.equal("v1", (swapping.ask "a"))
    status, answer, body = put(m, "a.lua", at(swapping.host))
    assert.are.equal(200, status, body)
    assert.are.same({}, answer.faults)
    assert.are.equal("v2", (swapping.ask "a"))
  end)

  it("are told that a port is the admin interface's", function()
    local m = swapping.start({ ["a.lua"] = counting("a", "v1") }, { admin = true })
    local text = ("return { name = 'b', match = { ports = %d }, action = { target = 'b:1' } }"):format(m.admin)
    local status, answer, body = put(m, "b.lua", text)
    assert.are.equal(422, status, body)
    assert.truthy(answer.faults[1].message:find("admin.listen", 1, true), body)
    assert.are.same({ "a.lua" }, names_in(m.directory .. "/routes"))
  end)

  it("are changed over TCP only with the token", function()
    local space = moongate.workspace { admin = true, routes = { ["a.lua"] = counting("a", "v1") } }
    local config = process.read(space.config_path):gsub("admin = { ", "admin = { token = 'very-secret', ")
    process.write(space.config_path, config)
    local m = moongate.start { space = space }
    local status = put(m, "a.lua", counting("a", "v2"), { tcp = true })
    assert.truthy(status == 401 or status == 403, tostring(status))
    status = m:request("DELETE", "/api/v1/files/a.lua", { tcp = true })
    assert.truthy(status == 401 or status == 403, tostring(status))
    assert.are.equal("v1", (swapping.ask "a"))
    local headers = { "Authorization: Bearer very-secret" }
    assert.are.equal(200, (put(m, "a.lua", counting("a", "v2"), { tcp = true, headers = headers })))
    assert.are.equal("v2", (swapping.ask "a"))
    status = m:request("DELETE", "/api/v1/files/a.lua", { tcp = true, headers = headers })
    assert.truthy(status == 200 or status == 204, tostring(status))
    assert.are.same({ nil, "refused" }, { swapping.ask "a" })
  end)
end)

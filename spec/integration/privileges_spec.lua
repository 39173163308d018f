-- SPDX-License-Identifier: MIT
--
-- Who moongate is: as root with a `user` it becomes that user before a route file is read, and keeps ports under 1024;
-- what it holds is asked of the kernel, thread by thread.

local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local USER, UID = "daemon", "1"
local BIND = "0000000000000400" -- CAP_NET_BIND_SERVICE alone

local UNPRIVILEGED = { "setpriv", "--reuid", USER, "--regid", USER, "--clear-groups" }

local HANDLER = 'return { name = "%s", match = { ports = %d }, action = { handler = function(s) s:send "%s" end } }'

local function field(status, name)
  return status:match("\n" .. name .. ":%s*([^\n]*)")
end

-- What each thread holds: a list of { name =, uid =, … }.
local function threads_of(pid)
  local threads = {}
  for id in lfs.dir(("/proc/%d/task"):format(pid)) do
    if id:find "^%d+$" then
      local status = process.read(("/proc/%d/task/%s/status"):format(pid, id))
      threads[#threads + 1] = {
        name = status:match "^Name:%s*([^\n]*)",
        uid = field(status, "Uid"), gid = field(status, "Gid"), groups = field(status, "Groups"),
        permitted = field(status, "CapPrm"), effective = field(status, "CapEff"),
        no_new_privs = field(status, "NoNewPrivs"), seccomp = field(status, "Seccomp"),
      }
    end
  end
  return threads
end

-- A port under 1024 on which nobody listens.
local function low_port()
  for port = 1023, 600, -1 do
    local client = net.connect(port)
    if not client then
      return port
    end
    client:close()
  end
end

describe("moongate's privileges", function()
  if require("posix.unistd").geteuid() ~= 0 then
    pending "as root only"
    return
  end

  local space, low

  before_each(function()
    low = low_port()
    space = moongate.workspace {
      workers = 2,
      config = ('user = "%s",'):format(USER),
      routes = {
        ["low.lua"] = ('local id = io.open("/proc/self/status"):read "*a":match "Uid:%%s*(%%d+)"\n'
          .. 'return { name = "low", match = { ports = %d }, action = { handler = function(s) s:send(id) end } }')
          :format(low),
      },
    }
    os.execute(("chmod 755 %s %s/routes"):format(space.directory, space.directory))
  end)

  after_each(moongate.finish)

  it("are those of the config's user, and ports under 1024, in every thread", function()
    local m = moongate.start { space = space }
    assert.are.equal(UID, assert(net.connect(low)):receive_all()) -- the file's top level ran as the user
    assert.truthy(m:log():find('msg="ready"[^\n]* user=' .. USER), m:log())
    assert.are.same({ USER, true }, { m:status().user, m:status().user_configured })
    local threads = threads_of(m.process.pid)
    assert.is_true(#threads >= 4)
    for _, thread in ipairs(threads) do
      local ids = ("%s\t%s\t%s\t%s"):format(UID, UID, UID, UID)
      assert.are.equal(ids, thread.uid, thread.name)
      assert.are.equal(ids, thread.gid, thread.name)
      assert.are.equal(UID, thread.groups:match "^%S*", thread.name)
      local binds = thread.name ~= "signals" -- the loader opens what a save asks for
      local holds = binds and BIND or ("0"):rep(16)
      assert.are.equal(holds, thread.permitted, thread.name)
      assert.are.equal(holds, thread.effective, thread.name)
      assert.are.equal("1", thread.no_new_privs, thread.name)
      assert.are.equal(moongate.sanitized and "0" or "2", thread.seccomp, thread.name)
    end
    assert.are.equal(tonumber(UID), lfs.attributes(m.control, "uid"))
    assert.are.equal(tonumber(UID), lfs.attributes(space.directory .. "/state", "uid"))
    assert.are.equal(tonumber(UID), lfs.attributes(space.directory .. "/state/lock", "uid"))
    local status, body = m:request("PUT", "/api/v1/files/new.lua", { body = "return {}" })
    assert.are.equal(500, status)
    assert.truthy(body:find('by the user \\"daemon\\", as whom moongate runs: give the directory', 1, true), body)
  end)

  it("do for all that a running moongate is asked for, and for a second start", function()
    os.execute(("chown %s %s/routes"):format(USER, space.directory))
    for start = 1, 2 do
      local m = moongate.start { space = space }
      assert.are.equal(UID, assert(net.connect(low)):receive_all())
      -- A swap to another such port, by a save and by the API.
      local other = low_port()
      m:write("other.lua", HANDLER:format("other", other, "other " .. start))
      process.wait_for(function()
        local client = net.connect(other)
        return client and client:receive_all() == "other " .. start
      end, 10, "the port under 1024 to answer")
      assert.are.equal(start == 1 and 201 or 200, (m:request("PUT", "/api/v1/files/put.lua",
        { body = HANDLER:format("put", 0, "put") })))
      assert.are.equal("put", assert(net.connect(m:port "put")):receive_all())
      -- Root's file would become the user's: it stays, and so does what it says.
      local status, body = m:request("PUT", "/api/v1/files/low.lua", { body = "return {}" })
      assert.are.equal(409, status)
      assert.truthy(body:find("another user's", 1, true), body)
      status, body = m:request("DELETE", "/api/v1/files/low.lua")
      assert.are.equal(409, status)
      assert.truthy(body:find("another user's", 1, true), body)
      assert.truthy(lfs.attributes(space.directory .. "/routes/low.lua", "uid"))
      assert.are.equal(UID, assert(net.connect(low)):receive_all())
      assert.are.equal(tonumber(UID), lfs.attributes(space.directory .. "/routes/put.lua", "uid"))
      local diagnosis = moongate.command { "--control", m.control, "diagnose" }
      assert.are.equal(0, diagnosis.status, diagnosis.err)
      assert.are.equal(0, moongate.command({ "--control", m.control, "reload" }).status)
      -- A fault keeps the last good version, over a restart too.
      m:write("other.lua", "return {")
      m:await_fault("other.lua", "")
      m:delete "other.lua"
      assert.are.equal(0, m.process:stop "SIGTERM" or 0)
    end
  end)

  it("read no file that only root may read: a fault at start and at check, with user and way", function()
    process.write(space.directory .. "/routes/secret.lua", HANDLER:format("secret", 0, "secret"))
    os.execute(("chmod 600 %s/routes/secret.lua"):format(space.directory))
    local answer = moongate.command { "check", moongate.files_of(space) }
    assert.are.equal(1, answer.status)
    for _, word in ipairs { "routes/secret.lua: ", '"' .. USER .. '"', "chgrp", "setfacl -m u:" .. USER } do
      assert.truthy(answer.out:find(word, 1, true), word .. " is not in " .. answer.out)
    end
    local m = moongate.start { space = space }
    local fault = m:await_fault("secret.lua", USER)
    assert.truthy(fault)
    assert.are.equal(UID, assert(net.connect(low)):receive_all())
    os.execute(("chmod 600 %s"):format(space.config_path))
    answer = moongate.command { "check", moongate.files_of(space) }
    assert.truthy(answer.out:find("moongate.lua: user: can't be read by the user", 1, true), answer.out)
  end)

  it("read no config that opens what only root may read: a fault at start and at check, as a reload has it", function()
    local secret = process.write(space.directory .. "/secret", "token")
    os.execute("chmod 600 " .. secret)
    local text = process.read(space.config_path)
    process.write(space.config_path, ("local token = assert(io.open(%q)):read '*a'\n"):format(secret) .. text)
    for _, words in ipairs { { "check", moongate.files_of(space) }, { "run", moongate.files_of(space) } } do
      local answer = moongate.command(words)
      local said = answer.out .. answer.err
      assert.are.equal(1, answer.status, said)
      for _, word in ipairs { "moongate.lua", secret, '"' .. USER .. '"', "chgrp", "setfacl -m u:" .. USER } do
        assert.truthy(said:find(word, 1, true), word .. " is not in " .. said)
      end
    end
    os.execute(("chgrp %s %s; chmod 640 %s"):format(USER, secret, secret))
    assert.are.equal(0, moongate.command({ "check", moongate.files_of(space) }).status)
    -- What is read as the user counts from the start on, not from the first reload.
    os.execute("chmod 600 " .. secret)
    process.write(space.config_path, ("local file = io.open(%q)\n"):format(secret)
      .. text:gsub("return {", "return { log = { level = file and 'error' or 'info' },", 1))
    local m = moongate.start { space = space }
    assert.truthy(m:log():find('msg="ready"', 1, true), m:log())
  end)

  it("are nobody's who is not there, nor another's for who is not root", function()
    for user, message in pairs {
      ['user = "nosuchuser"'] = 'there is no user "nosuchuser"',
      ['user = "daemon", group = "nosuchgroup"'] = 'there is no group "nosuchgroup"',
      ['group = "daemon"'] = "name the `user` as well",
    } do
      local text = process.read(space.config_path):gsub('user = "[^,]*",', user .. ",")
      local path = process.write(space.directory .. "/other.lua", text)
      for _, verb in ipairs { "check", "run" } do
        local answer = moongate.command { verb, "--config", path, "--routes", space.directory .. "/routes" }
        assert.are.equal(1, answer.status)
        assert.truthy((answer.out .. answer.err):find(message, 1, true), answer.out .. answer.err)
      end
    end
  end)

  it("are not root's for a route file that is checked, where it is not known whose they are to be", function()
    local ran = space.directory .. "/ran"
    process.write(space.directory .. "/routes/low.lua",
      ('local file = io.open(%q, "w")\nif file then file:write "as root" file:close() end\n'):format(ran)
      .. HANDLER:format("high", 0, "high"))
    local path = space.directory .. "/other.lua"
    for _, config in ipairs {
      'return { user = "nosuchuser" }', 'return { user = "daemon", group = "nosuchgroup" }', "return { user = 17 }",
      'return { group = "daemon" }', 'return { user = "daemon", }}', 'error "before the user"', "return 1",
      'return { user = "daemon", bogus = 1 }', 'return { user = "daemon", workers = "x" }',
    } do
      process.write(path, config)
      local answer = moongate.command { "check", "--config", path, "--routes", space.directory .. "/routes" }
      assert.are.equal(1, answer.status, config)
      assert.is_nil(lfs.attributes(ran), config)
      local looked = answer.out:find("1 file, 1 route: ", 1, true) ~= nil
      local said = answer.err:find("the routes were not looked at", 1, true) ~= nil
      assert.are_not.equal(looked, said, config .. answer.out .. answer.err)
      assert.are.equal(config:find('daemon", [bw]') ~= nil, looked, config)
    end
    -- The author of a config that names nobody has said so.
    process.write(path, "return { bogus = 1 }")
    moongate.command { "check", "--config", path, "--routes", space.directory .. "/routes" }
    assert.are.equal("as root", process.read(ran))
  end)

  it("are what it was started with where the config names nobody, but what no proxy does is refused", function()
    local m = moongate.start { routes = HANDLER:format("plain", 0, "plain") }
    for _, thread in ipairs(threads_of(m.process.pid)) do
      assert.are.equal("0\t0\t0\t0", thread.uid)
      assert.are.equal("1", thread.no_new_privs)
      assert.are.equal(moongate.sanitized and "0" or "2", thread.seccomp)
    end
  end)

  it("are not needed: started by a user who has none, it runs", function()
    os.execute(("chown -R %s %s"):format(USER, space.directory))
    process.write(space.directory .. "/routes/low.lua", HANDLER:format("high", 0, "high"))
    local m = moongate.start { space = space, within = UNPRIVILEGED }
    assert.are.equal("high", assert(net.connect(m:port "high")):receive_all())
    for _, thread in ipairs(threads_of(m.process.pid)) do
      assert.are.equal(("0"):rep(16), thread.permitted, thread.name)
    end
    -- Its own user asks it, another is told who may.
    local function as(user, ...)
      return process.run { "setpriv", "--reuid", user, "--regid", user == USER and USER or "nogroup", "--clear-groups",
        moongate.binary, "--control", m.control, ... }
    end
    for _, words in ipairs {
      { "status" }, { "reload" }, { "routes" }, { "conns" }, { "explain", tostring(m:port "high") }, { "diagnose" },
    } do
      assert.are.equal(0, as(USER, unpack(words)).status, words[1])
      local refused = as("nobody", unpack(words))
      assert.are.equal(1, refused.status, words[1])
      assert.truthy(refused.err:gsub("%s+", " "):find("may not be opened by this user", 1, true), refused.err)
    end
    assert.are.equal(1, as("nobody", "drain").status)
    assert.are.equal(0, process.run({ "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups",
      moongate.binary, "check", "--config", space.config_path, "--routes", space.directory .. "/routes" }).status)
  end)

  it("let nobody but root read the memory once a key is in it", function()
    if moongate.sanitized then
      return
    end
    os.execute(("chown -R %s %s"):format(USER, space.directory))
    process.write(space.directory .. "/routes/low.lua",
      'return { name = "tls", match = { ports = 0 }, action = { handler = function(s) s:receive() s:starttls() end } }')
    local m = moongate.start { space = space, within = UNPRIVILEGED }
    local path = ("/proc/%d/environ"):format(m.process.pid)
    assert.are.equal(tonumber(UID), lfs.attributes(path, "uid"))
    local client = assert(net.connect(m:port "tls"))
    client:send "go\n"
    process.wait_for(function()
      return lfs.attributes(path, "uid") == 0
    end, 10, "the process not to be dumpable")
    assert.is_truthy(m:status().descriptors.used > 0)
  end)
end)

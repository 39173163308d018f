-- SPDX-License-Identifier: MIT
--
-- The admin interface among strangers: pages that have their name resolved to it, connections that say nothing, a
-- config that lets nobody write.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("the admin interface over TCP", function()
  after_each(moongate.finish)

  local function ask(m, method, path, ...)
    return (m:request(method, path, { tcp = true, headers = { ... } }))
  end

  it("answers no page that has its own name resolved to this machine, and says which name to add", function()
    local m = moongate.start { admin = true, routes = {} }
    local function curl(name, path)
      local answer = process.run {
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", ("%s:%d:127.0.0.1"):format(name, m.admin),
        ("http://%s:%d%s"):format(name, m.admin, path),
      }
      return tonumber(answer.out)
    end
    assert.are.equal(200, curl("localhost", "/api/v1/status"))
    assert.are.equal(421, curl("rebound.example", "/api/v1/status"))
    assert.are.equal(200, curl("rebound.example", "/healthz"))
    assert.are.equal(200, curl("rebound.example", "/metrics"))
    m:await_log "level=warn[^\n]*admin.hosts[^\n]*host=rebound.example"
    local text = process.read(m.config_path):gsub("admin = { ", 'admin = { hosts = { "Rebound.example" }, ')
    process.write(m.config_path, text)
    assert.are.equal(0, moongate.command({ "--control", m.control, "reload" }).status)
    assert.are.equal(200, curl("rebound.example", "/api/v1/status"))
    assert.are.equal(421, curl("other.example", "/api/v1/status"))
  end)

  -- The status of the answer to a request with these bytes for a target and between its lines.
  local function status_of(m, target, lines)
    local client = assert(net.connect(m.admin))
    client:send(("GET %s HTTP/1.1\r\n%s\r\nConnection: close\r\n\r\n"):format(target, lines))
    local answer = client:receive_all()
    client:close()
    return tonumber(answer:match "^HTTP/1%.1 (%d+)")
  end

  it("takes no other name for its own, however it is written, and lets none forge its log", function()
    for _, format in ipairs { "json", "logfmt" } do
      local m = moongate.start { admin = true, config = ("log = { format = %q },"):format(format), routes = {} }
      for lines, wanted in pairs {
        ["Host: LocalHost.:9090"] = 200, ["Host:\tlocalhost "] = 200, ["Host: 127.0.0.1."] = 200,
        ["Host: [::1]:9090"] = 200, ["Host: [fe80::1%25eth0]"] = 200, ["Host: [::ffff:127.0.0.1]"] = 200,
        ["Host: localhost.."] = 421, ["Host: localhost:1:1"] = 421, ["Host: 127.1"] = 421, ["Host: 0x7f.1"] = 421,
        ["Host: 2130706433"] = 421, ["Host: [dead.beef]"] = 421, ["Host: [evil]"] = 421, ["Host: evil-localhost"] = 421,
        ["Host: localhost@evil"] = 400, ["Host: evil@localhost"] = 400, ["Host: evil:x@localhost"] = 400,
        ["Host: local host"] = 400, ["Host: localhost\tevil"] = 400, ["Host: localhost,evil"] = 400,
        ["Host: localhost/evil"] = 400, ["Host: evil#localhost"] = 400, ["Host: evil?localhost"] = 400,
        ["Host: localhost\\evil"] = 400, ["Host: localhost\r\nHost: evil"] = 400,
        ["Host: evil\r\nhOST: localhost"] = 400, ["Host : localhost"] = 400, [" Host: localhost"] = 400,
        ["X: y"] = 400, ['Host: x" level=error msg="forged'] = 400, ["Host: evil\27[31m"] = 400,
        ["Host: evil\194\155"] = 400, ["Host: \255"] = 400,
      } do
        assert.are.equal(wanted, status_of(m, "/api/v1/status", lines), lines)
      end
      for target, wanted in pairs {
        ["http://localhost/api/v1/status"] = 200, ["HTTP://LOCALHOST.:1/api/v1/status"] = 200,
        ["http://[::1]/api/v1/status"] = 200, ["http://evil/api/v1/status"] = 421,
        ["http://localhost@evil/api/v1/status"] = 421, ["http://evil@localhost/api/v1/status"] = 421,
        ["http://evil?@localhost/api/v1/status"] = 421, ["http://evil#@localhost/api/v1/status"] = 400,
        ["//localhost/api/v1/status"] = 404, ["localhost:1/api/v1/status"] = 400,
      } do
        assert.are.equal(wanted, status_of(m, target, "Host: evil"), target)
      end
      process.nap(1.1) -- the next line may come
      status_of(m, '/api/v1/status%0alevel=error" msg="forged', "Host: a.b\r\nX: y")
      assert.are.equal(421, status_of(m, "/api/v1/status", "Host: [level=error]"))
      m:await_log "%[level=error%]"
      for line in m:log():gmatch "[^\n]+" do
        assert.is_nil(line:find "[%c\127-\255]", line)
        local level = format == "json" and cjson.decode(line).level or line:match "^time=%S+ level=(%a+) msg=\""
        assert.truthy(level == "warn" or level == "info", line)
        local unquoted = line:gsub('"[^"]*"', "")
        assert.are.equal(select(2, unquoted:gsub("level", "")), format == "json" and 0 or 1, line)
      end
    end
  end)

  it("says who has shown a wrong token, and not which", function()
    local m = moongate.start { admin = true, routes = {} }
    local text = process.read(m.config_path):gsub("admin = { ", 'admin = { token = "s3cret", ')
    process.write(m.config_path, text)
    assert.are.equal(0, moongate.command({ "--control", m.control, "reload" }).status)
    for _, token in ipairs { "guess", "s3cre", "s3crets3cret" } do
      assert.are.equal(401, ask(m, "GET", "/api/v1/status", "Authorization: Bearer " .. token))
    end
    local line = m:await_log "level=warn[^\n]*a wrong token[^\n]*"
    assert.truthy(line:find("client=127.0.0.1", 1, true), line)
    assert.is_nil(m:log():find("s3cre", 1, true))
    assert.is_nil(m:log():find("guess", 1, true))
  end)

  it("answers about health while hundreds are connected and say nothing, and come again", function()
    local m = moongate.start { admin = true, routes = {} }
    local silent = {}
    for round = 1, 3 do
      for i = 1, 300 do
        silent[#silent + 1] = net.connect(m.admin)
        if i % 3 == 0 and silent[#silent] then
          silent[#silent]:send "GET /healthz HT" -- half a head is none
        elseif i % 3 == 1 and silent[#silent] then
          silent[#silent]:send "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" -- and stays, without another word
        end
      end
      for _, path in ipairs { "/healthz", "/metrics", "/api/v1/status" } do
        local began = process.now()
        assert.are.equal(200, ask(m, "GET", path), ("round %d, %s"):format(round, path))
        assert.is_true(process.now() - began < 5)
      end
    end
    for _, socket in pairs(silent) do
      socket:close()
    end
  end)

  it("asks for the token to read, and changes nothing where the config says so", function()
    local m = moongate.start { admin = true, routes = {} }
    local function configure(more)
      local wanted = ('admin = { listen = "127.0.0.1:%d", %s }'):format(m.admin, more)
      local text = process.read(m.config_path):gsub("admin = { listen[^}]*}", wanted)
      process.write(m.config_path, text)
      assert.are.equal(0, moongate.command({ "--control", m.control, "reload" }).status)
    end
    configure 'token = "s3cret"'
    local bearer = "Authorization: Bearer s3cret"
    assert.are.equal(401, ask(m, "GET", "/api/v1/status"))
    assert.are.equal(200, ask(m, "GET", "/api/v1/status", bearer))
    assert.are.equal(200, ask(m, "GET", "/metrics"))
    assert.are.equal(200, ask(m, "POST", "/api/v1/reload", bearer))
    configure 'token = "s3cret", public_metrics = false, write = false'
    assert.are.equal(401, ask(m, "GET", "/metrics"))
    assert.are.equal(200, ask(m, "GET", "/metrics", bearer))
    assert.are.equal(200, ask(m, "GET", "/readyz"))
    assert.are.equal(403, ask(m, "POST", "/api/v1/reload", bearer))
    assert.are.equal(403, (m:request("DELETE", "/api/v1/files/a.lua")))
    assert.are.equal(403, (m:request("PUT", "/api/v1/files/a.lua", { body = "return {}" })))
    assert.are.same({}, m:files().files or {})
    assert.are.equal(0, moongate.command({ "--control", m.control, "reload" }).status)
  end)
end)

-- SPDX-License-Identifier: MIT
--
-- The admin interface among strangers: pages that have their name resolved to it, connections that say nothing, a
-- config that lets nobody write.

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

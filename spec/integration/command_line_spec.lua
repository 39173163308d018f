-- SPDX-License-Identifier: MIT
--
-- The command's words and exit statuses: 0 done, 1 the thing asked for failed, 2 the command line is wrong.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

describe("the command line", function()
  after_each(moongate.finish)

  local function command(...)
    return moongate.command { ... }
  end

  it("prints the version", function()
    local answer = command "version"
    assert.are.equal(0, answer.status)
    assert.truthy(answer.out:match "%d+%.%d+%.%d+")
    assert.are.equal("", answer.err)
  end)

  it("answers a wrong command line with 2 and a hint", function()
    for _, words in ipairs {
      { "frobnicate" },
      { "run", "--nonsense" },
      { "check", "--config" },
      { "run", "--workers", "many" },
      { "status", "surplus" },
    } do
      local answer = command(unpack(words))
      assert.are.equal(2, answer.status, table.concat(words, " ") .. ": " .. answer.out .. answer.err)
      assert.are.equal("", answer.out)
      assert.are_not.equal("", answer.err)
    end
  end)

  it("fails when what it says can't be written, but tells nobody who has stopped to read", function()
    local m = moongate.start {}
    local space = moongate.workspace { routes = moongate.front(1) }
    local lines = {
      { "check", moongate.files_of(space) }, { "help" }, { "version" }, { "--help" },
      { "status", "--control", m.control }, { "conns", "--json", "--control", m.control },
      { "reload", "--control", m.control },
    }
    for _, words in ipairs(lines) do
      local line = table.concat(words, " ")
      local full = process.run { "bash", "-c", ('%s "$@" >/dev/full'):format(moongate.binary), "bash", unpack(words) }
      assert.are.equal(1, full.status, line)
      assert.truthy(full.err:find("the standard output can't be written", 1, true), line .. full.err)
    end
    local head = process.run {
      "bash", "-c", '(sleep 0.2; "$@"; echo $? >&2) | true', "bash", moongate.binary, "help",
    }
    assert.are.equal("1\n", head.err)
  end)

  it("explains itself with --help", function()
    local answer = command "--help"
    assert.are.equal(0, answer.status)
    for _, word in ipairs { "run", "check", "status", "version" } do
      assert.truthy(answer.out:find(word, 1, true), word)
    end
  end)

  it("names a config file that is not there", function()
    for _, verb in ipairs { "run", "check" } do
      local answer = command(verb, "--config", "/nowhere/moongate.lua")
      assert.are.equal(1, answer.status)
      assert.truthy((answer.out .. answer.err):find("/nowhere/moongate.lua", 1, true), answer.out .. answer.err)
    end
  end)

  it("names a directory of routes that is not there", function()
    local space = moongate.workspace {}
    local answer = command("check", "--config", space.config_path, "--routes", space.directory .. "/lost")
    assert.are.equal(1, answer.status)
    assert.truthy((answer.out .. answer.err):find(space.directory .. "/lost", 1, true), answer.out .. answer.err)
  end)

  it("says that nothing runs where the control socket is not there", function()
    local answer = command("status", "--control", "/nowhere/moongate.sock")
    assert.are.equal(1, answer.status)
    assert.truthy((answer.out .. answer.err):find("/nowhere/moongate.sock", 1, true), answer.out .. answer.err)
    assert.truthy(answer.err:find("is it running?", 1, true), answer.err)
  end)

  it("shows the status of what runs, as text and as the API's JSON", function()
    local m = moongate.start {
      workers = 2,
      routes = moongate.front(1),
    }
    local text = command("status", "--control", m.control)
    assert.are.equal(0, text.status, text.err)
    assert.truthy(text.out:find "version%s+%d+%.%d+%.%d+", text.out)
    assert.truthy(text.out:find "connections%s+0 open", text.out)
    local json = command("status", "--json", "--control", m.control)
    assert.are.equal(0, json.status, json.err)
    local status = cjson.decode(json.out)
    assert.are.equal("front", status.routes[1].name)
    assert.are.same({ m:port "front" }, status.routes[1].ports)
  end)

  it("answers the same on the control socket and on admin.listen", function()
    local m = moongate.start { admin = true, routes = "return {}" }
    local function status_of(...)
      local answer = peers.curl { "-w", "%{http_code}", "-o", "/dev/null", ... }
      return answer.out .. answer.err
    end
    for _, path in ipairs { "/healthz", "/readyz", "/metrics", "/api/v1/status" } do
      assert.are.equal(200, (m:get(path)))
      assert.are.equal("200", status_of(("http://127.0.0.1:%d%s"):format(m.admin, path)))
      assert.are.equal("200", status_of("--unix-socket", m.control, "http://moongate" .. path))
    end
    assert.are.equal(404, (m:get "/nowhere"))
  end)

  it("uses ./moongate.lua and the directory that it names, without --config and --routes", function()
    local space = moongate.workspace { routes = [[return { name = "mine", match = { ports = 0 } }]] }
    assert(os.rename(space.directory .. "/routes", space.directory .. "/elsewhere"))
    process.write(space.config_path, [[return { routes = "elsewhere" }]])
    local answer = moongate.command({ "check" }, { cwd = space.directory })
    assert.are.equal(1, answer.status)
    assert.truthy((answer.out .. answer.err):find("elsewhere/routes.lua", 1, true), answer.out .. answer.err)
  end)
end)

-- SPDX-License-Identifier: MIT

local fake_socket = require "spec.support.fake_socket"

describe("admin", function()
  local admin, cjson, state
  local replaced = {
    "moongate.http_parser",
    "moongate.http_server",
    "moongate.native",
    "moongate.admin",
    "moongate.admin.access",
    "moongate.admin.files",
    "moongate.admin.room",
    "moongate",
  }

  local function make_file()
    return { file = "web.lua", ok = true, state = "live", routes = 1, faults = {}, warnings = {} }
  end

  local function make_state()
    return {
      calls = {},
      logged = {},
      noted = {},
      now = 0,
      files = { make_file() },
      answer = { ok = true, generation = 3, ms = 12, changed = { "web.lua" }, removed = {}, faults = {} },
      snapshot = {
        connections = 12,
        active = 3,
        bytes_in = 2 ^ 50 + 8,
        bytes_out = 21,
        workers = { { number = 1, connections = 12, active = 3, complete = true } },
        routes = {
          { name = "(none)", bytes_in = 7, bytes_out = 1, connections = 1, active = 1, handler_errors = 0 },
          { name = "web", bytes_in = 2 ^ 50 + 1, bytes_out = 20, connections = 9, active = 2, handler_errors = 0 },
        },
        terminations = { client = { ended = 5 }, target = {} },
        states = { routing = 1 },
        errors = {},
      },
      status = {
        version = "1.2.3",
        pid = 42,
        started = 1700000000,
        uptime = 5.5,
        workers = 1,
        generation = 1,
        ready = true,
        draining = false,
        stuck = {},
        config = "moongate.lua",
        routes_directory = "routes",
        control = "/run/moongate.sock",
        admin = "127.0.0.1:9090",
        files = { make_file() },
        rss = 1024,
        descriptors = { used = 10, limit = 1024 },
      },
      routes = {
        {
          name = "web",
          file = "web.lua",
          ports = { 8080 },
          match = { address = "10.0.0.1" },
          action = { handler = true },
        },
      },
    }
  end

  -- What stands behind a call that changes something.
  local function called(...)
    state.calls[#state.calls + 1] = { ... }
    if type(state.answer) == "string" then
      error(state.answer)
    end
    return state.answer
  end

  setup(function()
    for _, name in ipairs(replaced) do
      package.loaded[name] = nil
    end
    package.loaded["moongate.http_parser"] = require "spec.support.plain_parser"
    package.loaded["moongate"] = {
      now = function()
        return state.now
      end,
      log = {
        info = function(message, fields)
          state.noted[#state.noted + 1] = { message, fields }
        end,
        warn = function(message, fields)
          state.logged[#state.logged + 1] = { message, fields }
        end,
      },
    }
    package.loaded["moongate.native"] = {
      questions = {
        snapshot = function()
          return state.snapshot
        end,
        totals = function()
          return state.snapshot
        end,
        status = function()
          return state.status
        end,
        readiness = function()
          return { ready = state.status.ready, draining = state.status.draining, stuck = state.status.stuck }
        end,
        metrics = function()
          return { metrics = {}, dictionaries = {}, dropped = 0 }
        end,
        admission = function()
          return {
            token = state.token,
            hosts = state.hosts or "",
            write = state.write ~= false,
            public_metrics = state.public_metrics ~= false,
          }
        end,
        files = function()
          return state.files
        end,
        routes = function()
          return { routes = state.routes }
        end,
      },
      ask = function(question)
        return package.loaded["moongate.native"].questions[question]()
      end,
      defaults = function()
        return { version = state.status.version }
      end,
      reload = function()
        return called "reload"
      end,
      put_file = function(file)
        return called("put", file.name, file.text)
      end,
      delete_file = function(name)
        return called("delete", name)
      end,
    }
    admin = require "moongate.admin"
    cjson = require "cjson"
  end)

  teardown(function()
    for _, name in ipairs(replaced) do
      package.loaded[name] = nil
    end
  end)

  before_each(function()
    state = make_state()
  end)

  -- Status, body and headers of the one answer to a request.
  local function ask(method, target, channel, text, fields)
    local request = ("%s %s HTTP/1.1\r\nHost: localhost\r\n%s"):format(method, target, fields or "")
    if text then
      request = ("%sContent-Length: %d\r\n"):format(request, #text)
    end
    local socket = fake_socket { request .. "\r\n" .. (text or "") }
    admin.serve(socket, channel or "tcp", { now = socket:clock() })
    local head, body = socket:output():match "^(.-\r\n)\r\n(.*)$"
    local headers = {}
    for name, value in head:gmatch "\r\n([%w-]+): ([^\r\n]*)" do
      headers[name:lower()] = value
    end
    return tonumber(head:match "^HTTP/1.1 (%d+)"), body, headers
  end

  it("answers /healthz as long as it answers", function()
    state.status.ready = false
    local status, body = ask("GET", "/healthz")
    assert.equal(200, status)
    assert.equal("ok\n", body)
  end)

  it("is ready when a table is live", function()
    assert.equal(200, (ask("GET", "/readyz")))
  end)

  it("is not ready without a table, or while draining, and says why", function()
    state.status.ready = false
    local status, body = ask("GET", "/readyz")
    assert.equal(503, status)
    assert.matches("no route table is live yet", body)
    state.status.ready, state.status.draining = true, true
    status, body = ask("GET", "/readyz")
    assert.equal(503, status)
    assert.matches("draining", body)
  end)

  it("is not ready while nobody accepts for a worker that is stuck, and says where", function()
    state.status.stuck = { { number = 1, seconds = 5, accepted_by = 2 } }
    local status, body = ask("GET", "/readyz")
    assert.equal(200, status)
    assert.equal("ready\nworker 1 is stuck for 5s; worker 2 accepts for it\n", body)
    local stuck = { number = 2, seconds = 61.5, route = "web", file = "web.lua" }
    state.status.stuck = { stuck, { number = 3, seconds = 2 } }
    local native = package.loaded["moongate.native"].questions
    local whole = native.status
    native.status = error
    status, body = ask("GET", "/readyz")
    native.status = whole
    assert.equal(503, status)
    assert.matches("\nworker 2 is stuck for 1m 1s in route web (web.lua)\n", body, 1, true)
    assert.matches("\nworker 3 is stuck for 2s\n", body, 1, true)
  end)

  it("exposes metrics as Prometheus reads them", function()
    local status, body, headers = ask("GET", "/metrics")
    assert.equal(200, status)
    assert.equal("text/plain; version=0.0.4; charset=utf-8", headers["content-type"])
    assert.matches('\nmoongate_route_bytes_total{route="web",direction="out"} 20\n', body, 1, true)
    assert.matches('\nmoongate_bytes_total{direction="out"} 21\n', body, 1, true)
  end)

  it("shows the status with totals, the same on both channels", function()
    local status, body, headers = ask("GET", "/api/v1/status?x=y")
    assert.equal(200, status)
    assert.equal("application/json", headers["content-type"])
    local value = cjson.decode(body)
    assert.same({ active = 3, total = 12, states = { routing = 1 } }, value.connections)
    assert.same({ ["in"] = 2 ^ 50 + 8, out = 21 }, value.bytes)
    assert.matches('"in":1125899906842632', body, 1, true)
    assert.equal("1.2.3", value.version)
    assert.equal(false, value.draining)
    assert.same({ used = 10, limit = 1024 }, value.descriptors)
    assert.same({ {
      name = "web", file = "web.lua", address = "10.0.0.1", ports = { 8080 }, action = "handler",
    } }, value.routes)
    assert.matches('"faults":[]', body, 1, true)
    state = make_state()
    local _, other = ask("GET", "/api/v1/status", "control")
    assert.equal(body, other)
  end)

  it("keeps empty lists lists", function()
    state.routes, state.status.files = {}, {}
    local _, body = ask("GET", "/api/v1/status")
    assert.matches('"routes":[]', body, 1, true)
    assert.matches('"files":[]', body, 1, true)
  end)

  it("lists what there is at /", function()
    local status, body, headers = ask("GET", "/")
    assert.equal(200, status)
    assert.matches("^text/html", headers["content-type"])
    for _, path in ipairs { "/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/files" } do
      assert.matches(('<a href="%s">'):format(path), body, 1, true)
      assert.equal(200, (ask("GET", path)))
    end
  end)

  it("answers HEAD without a body and with the length of GET's", function()
    local _, body = ask("GET", "/healthz")
    local status, nothing, headers = ask("HEAD", "/healthz")
    assert.equal(200, status)
    assert.equal("", nothing)
    assert.equal(tostring(#body), headers["content-length"])
  end)

  it("answers other paths with 404 and other methods with 405, in JSON", function()
    local status, body, headers = ask("GET", "/nowhere")
    assert.equal(404, status)
    assert.equal("application/json", headers["content-type"])
    assert.equal(404, cjson.decode(body).error.status)
    assert.matches("/nowhere", cjson.decode(body).error.message, 1, true)
    status, body = ask("GET", "/api/v1/metrics/history?seconds=60")
    assert.equal(501, status)
    assert.matches("not in this version", body, 1, true)
    status, body, headers = ask("POST", "/metrics")
    assert.equal(405, status)
    assert.equal("GET, HEAD", headers.allow)
    assert.matches("does not answer POST", cjson.decode(body).error.message)
    assert.equal(404, (ask("POST", "/nowhere")))
    for target, allowed in pairs {
      ["/api/v1/reload"] = "POST",
      ["/api/v1/files"] = "GET, HEAD",
      ["/api/v1/files/a.lua"] = "PUT, DELETE",
      ["/api/v1/connections"] = "GET, HEAD, DELETE",
      ["/api/v1/connections/1-7"] = "DELETE",
    } do
      local code, _, fields = ask("PATCH", target, "control")
      assert.equal(405, code)
      assert.equal(allowed, fields.allow)
    end
    assert.equal(405, (ask("GET", "/api/v1/reload", "control")))
    assert.same({}, state.calls)
  end)

  it("lists the route files with their states and faults", function()
    state.files[2] = { file = "b.lua", ok = false, state = "last_good", faults = { { file = "b.lua", line = 2 } } }
    local status, body = ask("GET", "/api/v1/files")
    assert.equal(200, status)
    local list = cjson.decode(body).files
    assert.equal("live", list[1].state)
    assert.same({ { file = "b.lua", line = 2 } }, list[2].faults)
    assert.matches('"warnings":[]', body, 1, true)
    state.files = {}
    local _, nothing = ask("GET", "/api/v1/files")
    assert.equal('{"files":[]}\n', nothing)
  end)

  it("reloads, and answers with what has changed", function()
    local status, body = ask("POST", "/api/v1/reload", "control")
    assert.equal(200, status)
    assert.same({ { "reload" } }, state.calls)
    local asked = { method = "POST", path = "/api/v1/reload", by = "control", status = 200 }
    assert.same({ { "the admin interface was asked for a change", asked } }, state.noted)
    ask("GET", "/api/v1/files", "control")
    assert.equal(1, #state.noted)
    assert.equal(
      '{"changed":["web.lua"],"faults":[],"generation":3,"ms":12,"notes":[],"ok":true,"removed":[],"warnings":[]}\n',
      body
    )
  end)

  it("answers a reload that finds faults with 422 and the faults", function()
    state.answer.ok = false
    state.answer.faults = { { file = "b.lua", line = 2, route = "api", field = "match.ports", message = "bad" } }
    local status, body = ask("POST", "/api/v1/reload", "control")
    assert.equal(422, status)
    assert.equal("match.ports", cjson.decode(body).faults[1].field)
    assert.equal(422, cjson.decode(body).error.status)
  end)

  it("says so when nothing is running that could change", function()
    state.answer = "native: moongate is not running"
    for _, call in ipairs { { "POST", "/api/v1/reload" }, { "PUT", "/api/v1/files/a.lua" } } do
      local status, body = ask(call[1], call[2], "control", "return {}")
      assert.equal(503, status)
      assert.matches("starting or stopping", cjson.decode(body).error.message)
    end
  end)

  it("writes a route file, whatever bytes it has", function()
    state.answer = { status = 201, generation = 4 }
    local status, body = ask("PUT", "/api/v1/files/new-site_2.lua", "control", "return {}\0\255\r\n")
    assert.equal(201, status)
    assert.same({ { "put", "new-site_2.lua", "return {}\0\255\r\n" } }, state.calls)
    assert.equal('{"faults":[],"file":"new-site_2.lua","generation":4}\n', body)
    state.answer = { status = 422, generation = 4, message = "it has faults", faults = { { line = 1 } } }
    status, body = ask("PUT", "/api/v1/files/new-site_2.lua", "control", "")
    assert.equal(422, status)
    assert.equal("", state.calls[2][3])
    assert.same({ status = 422, message = "it has faults" }, cjson.decode(body).error)
    assert.same({ { line = 1 } }, cjson.decode(body).faults)
  end)

  it("deletes a route file", function()
    state.answer = { status = 200, generation = 5 }
    local status, body = ask("DELETE", "/api/v1/files/a.lua", "control")
    assert.equal(200, status)
    assert.same({ { "delete", "a.lua" } }, state.calls)
    assert.equal('{"file":"a.lua","generation":5}\n', body)
    state.answer = { status = 404, generation = 5, message = "there is no such file" }
    assert.equal(404, (ask("DELETE", "/api/v1/files/a.lua", "control")))
  end)

  it("takes plain names of route files only", function()
    for _, name in ipairs {
      "",
      ".lua",
      ".hidden.lua",
      "..",
      "../a.lua",
      "a/b.lua",
      "a",
      "a.lua.bak",
      "a%2f..lua",
      "a b.lua",
      "\195\164.lua",
      ("a"):rep(125) .. ".lua",
    } do
      assert.equal(400, (ask("PUT", "/api/v1/files/" .. name:gsub(" ", "%%20"), "control", "return {}")), name)
      assert.equal(400, (ask("DELETE", "/api/v1/files/" .. name:gsub(" ", "%%20"), "control")), name)
    end
    assert.same({}, state.calls)
    state.answer = { status = 200, generation = 5 }
    assert.equal(200, (ask("PUT", "/api/v1/files/" .. ("a"):rep(124) .. ".lua", "control", "return {}")))
  end)

  local WRITES = {
    { "POST", "/api/v1/reload" },
    { "PUT", "/api/v1/files/a.lua" },
    { "DELETE", "/api/v1/files/a.lua" },
  }

  it("changes nothing over TCP without a token in the config", function()
    for _, token in ipairs { false, "" } do
      state.token = token or nil
      for _, call in ipairs(WRITES) do
        local status, body = ask(call[1], call[2], "tcp", nil, "Authorization: Bearer \r\n")
        assert.equal(403, status)
        assert.matches("control socket", cjson.decode(body).error.message)
        assert.matches("admin.token", cjson.decode(body).error.message, 1, true)
      end
    end
    assert.same({}, state.calls)
  end)

  it("changes something over TCP for the token only", function()
    state.token = "s3cret"
    for _, call in ipairs(WRITES) do
      for _, given in ipairs { "", "Bearer", "Bearer s3cre", "Bearer s3crets3cret", "Bearer S3cret", "Basic s3cret" } do
        local fields = given ~= "" and ("Authorization: %s\r\n"):format(given) or nil
        local status, body, headers = ask(call[1], call[2], "tcp", nil, fields)
        assert.equal(401, status, given)
        assert.matches("^Bearer", headers["www-authenticate"])
        assert.is_nil(body:find("s3cret", 1, true))
      end
    end
    assert.same({}, state.calls)
    for index, call in ipairs(WRITES) do
      state.answer = { status = 200, generation = 5, ok = true }
      assert.equal(200, (ask(call[1], call[2], "tcp", nil, "Authorization: bearer s3cret\r\n")))
      assert.equal(index, #state.calls)
    end
  end)

  it("shows the token nowhere", function()
    state.token = "s3cret"
    for _, path in ipairs { "/", "/metrics", "/api/v1/status", "/api/v1/files" } do
      local status, body = ask("GET", path, "tcp", nil, "Authorization: Bearer s3cret\r\n")
      assert.equal(200, status)
      assert.is_nil(body:find("s3cret", 1, true))
    end
  end)

  it("lets read over TCP for the token only, once there is one, but for health and, unless told, metrics", function()
    local token = "Authorization: Bearer s3cret\r\n"
    for _, path in ipairs { "/", "/metrics", "/api/v1/status", "/api/v1/connections", "/healthz", "/readyz" } do
      local health = path:find "z$"
      for _, public in ipairs { true, false } do
        state.token, state.public_metrics = "s3cret", public
        local is_open = health or public and path == "/metrics"
        assert.equal(is_open and 200 or 401, (ask("GET", path)), path)
        assert.equal(is_open and 200 or 401, (ask("HEAD", path)), path)
        if path ~= "/api/v1/connections" then
          assert.equal(200, (ask("GET", path, "tcp", nil, token)), path)
          assert.equal(200, (ask("GET", path, "control")), path)
        end
      end
    end
    state.token, state.public_metrics = nil, false
    assert.equal(200, (ask("GET", "/metrics")))
  end)

  it("is asked over TCP by an address, localhost and the names of admin.hosts, and by no other", function()
    state.hosts = "gate.example,moon.test"
    local function asked(host, path, channel, target)
      state.now = state.now + 10
      local line = ("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"):format(target or path or "/api/v1/status", host)
      local socket = fake_socket { line }
      admin.serve(socket, channel or "tcp", { now = socket:clock() })
      return tonumber(socket:output():match "^HTTP/1.1 (%d+)"), socket:output()
    end
    for _, host in ipairs {
      "127.0.0.1", "127.0.0.1:9090", "192.0.2.7", "[::1]", "[::1]:9090", "localhost", "LOCALHOST:9090", "localhost.",
      "gate.example", "Gate.Example.:9090", "moon.test:80",
    } do
      assert.equal(200, (asked(host)), host)
    end
    assert.same({}, state.logged)
    for _, host in ipairs {
      "evil.example", "evil.example:9090", "gate.example.evil.test", "gate", "example", "127.0.0.1.evil.test",
      "127.0.0.1x", "localhost.evil.test", "gate.example,moon.test", ",", "[::1].evil.test", "0x7f.1", "a@127.0.0.1",
    } do
      local status, text = asked(host)
      assert.is_true(status == 421 or status == 400, host)
      assert.is_nil(text:find("generation", 1, true))
      for _, path in ipairs { "/healthz", "/readyz", "/metrics" } do
        assert.is_true(status == 400 or asked(host, path) == 200, host)
      end
      assert.is_true(status == 400 or asked(host, nil, "control") == 200)
    end
    assert.equal("evil.example", state.logged[1][2].host)
    assert.matches("admin.hosts", state.logged[1][1], 1, true)
    assert.equal(421, (asked("localhost", nil, nil, "http://evil.example/api/v1/status")))
    local count = #state.logged
    state.now = state.now - 10 -- within the same second
    asked "evil.example"
    assert.equal(count, #state.logged)
  end)

  it("changes nothing that the config's write = false forbids", function()
    state.write, state.token = false, "s3cret"
    for _, call in ipairs(WRITES) do
      assert.equal(403, (ask(call[1], call[2], "tcp", nil, "Authorization: Bearer s3cret\r\n")))
      if call[1] ~= "POST" then
        local status, body = ask(call[1], call[2], "control")
        assert.equal(403, status)
        assert.matches("admin.write", cjson.decode(body).error.message, 1, true)
      end
    end
    assert.same({}, state.calls)
    assert.equal(200, (ask("POST", "/api/v1/reload", "control")))
  end)

  it("has room for who asks, however many are connected and say nothing", function()
    local room = require "moongate.admin.room"
    local now, closed = 0, {}
    local function enter(name)
      now = now + 1
      return room.enter({ close = function()
        closed[#closed + 1] = name
      end }, "tcp", function()
        return now
      end)
    end
    local asking, asked = enter "asking", enter "asked"
    asking:ask()
    asked:ask()
    asked:answered()
    local silent = {}
    for i = 1, 125 do
      silent[i] = enter("silent " .. i)
    end
    assert.is_true(silent[1]:patience() < 0.2)
    local last = enter "last"
    assert.same({}, closed)
    silent[1]:ask()
    for _ = 1, 126 do
      enter("more")
    end
    assert.equal("silent 2", closed[1])
    assert.equal("silent 125", closed[124])
    assert.equal("last", closed[125])
    assert.equal("more", closed[126])
    silent[1]:leave()
    asking:leave()
    asked:leave()
    last:leave()
  end)

  it("reads no body that it would not take", function()
    local function refuse(status, head, channel)
      local socket = fake_socket { head .. "\r\n\r\n", 1 }
      admin.serve(socket, channel, { now = socket:clock() })
      assert.matches("^HTTP/1.1 " .. status, socket:output())
      assert.matches("\r\nConnection: close\r\n", socket:output(), 1, true)
      assert.is_nil(socket:output():find("100 Continue", 1, true))
      assert.equal(status, cjson.decode(socket:output():match "\r\n\r\n(.*)$").error.status)
    end
    local large = "\r\nContent-Length: 8388609\r\nExpect: 100-continue"
    refuse(413, "PUT /api/v1/files/a.lua HTTP/1.1" .. large, "control")
    refuse(413, "POST /api/v1/reload HTTP/1.1\r\nContent-Length: 65537", "control")
    refuse(403, "PUT /api/v1/files/a.lua HTTP/1.1\r\nContent-Length: 8388608\r\nExpect: 100-continue", "tcp")
    refuse(400, "PUT /api/v1/files/a.txt HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue", "control")
    assert.same({}, state.calls)
  end)

  it("lets nobody keep or reinterpret an answer", function()
    for _, path in ipairs { "/", "/healthz", "/metrics", "/nowhere" } do
      local _, _, headers = ask("GET", path)
      assert.equal("no-store", headers["cache-control"])
      assert.equal("nosniff", headers["x-content-type-options"])
    end
  end)

  it("answers several requests on one connection", function()
    local request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    local socket = fake_socket { request .. request, request }
    admin.serve(socket, "control", { now = socket:clock() })
    assert.equal(3, select(2, socket:output():gsub("\r\n\r\nok\n", "")))
  end)
end)

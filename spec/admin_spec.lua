-- SPDX-License-Identifier: MIT

local fake_socket = require "spec.support.fake_socket"

describe("admin", function()
  local admin, cjson, state
  local replaced = { "moongate.http_parser", "moongate.http_server", "moongate.native", "moongate.admin" }

  local function make_state()
    return {
      snapshot = {
        connections = 12,
        active = 3,
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
        config = "moongate.lua",
        routes_directory = "routes",
        control = "/run/moongate.sock",
        admin = "127.0.0.1:9090",
        routes = { { name = "web", file = "web.lua", ports = { 8080 }, action = "handler" } },
        files = { { file = "web.lua", ok = true, routes = 1, faults = {} } },
        rss = 1024,
        descriptors = { used = 10, limit = 1024 },
      },
    }
  end

  setup(function()
    for _, name in ipairs(replaced) do
      package.loaded[name] = nil
    end
    package.loaded["moongate.http_parser"] = require "spec.support.plain_parser"
    package.loaded["moongate.native"] = {
      snapshot = function()
        return state.snapshot
      end,
      status = function()
        return state.status
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
  local function ask(method, target, channel)
    local socket = fake_socket { ("%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(method, target) }
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
    assert.same({ active = 3, total = 12 }, value.connections)
    assert.same({ ["in"] = 2 ^ 50 + 8, out = 21 }, value.bytes)
    assert.matches('"in":1125899906842632', body, 1, true)
    assert.equal("1.2.3", value.version)
    assert.equal(false, value.draining)
    assert.same({ used = 10, limit = 1024 }, value.descriptors)
    assert.same({ { name = "web", file = "web.lua", ports = { 8080 }, action = "handler" } }, value.routes)
    assert.matches('"faults":[]', body, 1, true)
    state = make_state()
    local _, other = ask("GET", "/api/v1/status", "control")
    assert.equal(body, other)
  end)

  it("keeps empty lists lists", function()
    state.status.routes, state.status.files = {}, {}
    local _, body = ask("GET", "/api/v1/status")
    assert.matches('"routes":[]', body, 1, true)
    assert.matches('"files":[]', body, 1, true)
  end)

  it("lists what there is at /", function()
    local status, body, headers = ask("GET", "/")
    assert.equal(200, status)
    assert.matches("^text/html", headers["content-type"])
    for _, path in ipairs { "/healthz", "/readyz", "/metrics", "/api/v1/status" } do
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
    status, body, headers = ask("POST", "/metrics")
    assert.equal(405, status)
    assert.equal("GET, HEAD", headers.allow)
    assert.matches("does not answer POST", cjson.decode(body).error.message)
    assert.equal(404, (ask("POST", "/nowhere")))
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

-- SPDX-License-Identifier: MIT
--
-- `moongate check`: every kind of fault a file can have, said with the file, the line where there is one, the route and
-- the field; all of them at once, without binding anything.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("moongate check", function()
  after_each(moongate.finish)

  local function text_of(options)
    local space = moongate.workspace(options)
    local answer = moongate.command { "check", moongate.files_of(space) }
    return answer.out .. answer.err, answer.status
  end

  -- The text of a route "api", with more fields, or other ones.
  local function api(more)
    return ("return { name = 'api', match = { ports = 80 }, %s }"):format(more)
  end

  -- Faults of one route file whose text is given: the output has all of the words.
  local function expect_fault(text, ...)
    local output, status = text_of { routes = { ["site.lua"] = text } }
    assert.are.equal(1, status, output)
    for _, word in ipairs { ... } do
      assert.truthy(output:find(word, 1, true), ("no %q in: %s"):format(word, output))
    end
  end

  it("is content with files that are well", function()
    local output, status = text_of {
      routes = {
        ["a.lua"] = [[return { match = { ports = 8080 }, action = { target = "127.0.0.1:80" } }]],
        ["b.lua"] = [[return {
          {
            name = "one",
            match = { ports = { 80, "8000-8010", { from = 9000, to = 9010 } } },
            action = { targets = { "a:1", { host = "b", port = 2 } } },
          },
          { name = "two", match = { ports = 81, address = "127.0.0.1" }, action = { handler = function() end } },
        }]],
        ["empty.lua"] = [[return {}]],
      },
    }
    assert.are.equal(0, status, output)
  end)

  it("warns of directories with Lua files in them, which are not read", function()
    local space = moongate.workspace { routes = { ["a.lua"] = "return {}" } }
    local routes = space.directory .. "/routes/"
    assert(os.execute(("mkdir %ssub %sempty %s.hidden"):format(routes, routes, routes)) == 0)
    process.write(routes .. "sub/b.lua", "return {}")
    process.write(routes .. "empty/notes.txt", "x")
    process.write(routes .. ".hidden/c.lua", "return {}")
    local answer = moongate.command { "check", moongate.files_of(space) }
    assert.are.equal(0, answer.status)
    local text = answer.out .. answer.err
    assert.truthy(text:find("warning: " .. routes .. "sub: has Lua files in it, which are not read", 1, true), text)
    assert.is_nil(text:find("empty", 1, true))
    assert.is_nil(text:find("hidden", 1, true))
  end)

  it("names file and line of a syntax error", function()
    expect_fault('return {\n  name = "api",\n  match = = 1,\n}', "routes/site.lua:3:")
  end)

  it("names file and line of an error at load", function()
    expect_fault("local missing = nil\nlocal x = missing.field\nreturn {}", "routes/site.lua:2:", "missing")
    expect_fault('error "told so"', "routes/site.lua:1:", "told so")
    expect_fault("error({ code = 7 })", "site.lua")
  end)

  it("prints an error of 300,000 blanks at once, and one of several lines in one", function()
    local began = process.now()
    expect_fault("error((' '):rep(300000) .. 'x  y \\n\\n  z', 0)", "   x  y z\n")
    assert.truthy(process.now() - began < 20)
  end)

  it("names route and field of a wrong type", function()
    expect_fault(api 'match = { ports = true }, action = { target = "a:1" }', "routes/site.lua", "api", "match.ports")
    expect_fault(api "action = { target = 7 }", "site.lua", "api", "action.target")
    expect_fault(api 'action = { handler = "echo" }', "api", "action.handler")
    expect_fault(api 'name = 7, action = { target = "a:1" }', "site.lua", "name")
  end)

  it("names an unknown field and the nearest known one", function()
    expect_fault(api 'match = { port = 80 }, action = { target = "a:1" }', "site.lua", "api", "match.port", "ports")
    expect_fault(api 'mach = {}, action = { target = "a:1" }', "mach", "match")
  end)

  it("names the line that called a helper, however the routes came into the list", function()
    local bad = 'route.passthrough("a b", "c:1")'
    local field = ': match.domains: expected a domain such as "example.com"'
    expect_fault("local route = moongate.route\nreturn " .. bad, 'site.lua:2: route "site.lua#1"' .. field)
    expect_fault(
      "local route = moongate.route\nreturn {\n route.passthrough('x', 'c:1'),\n " .. bad .. ",\n}",
      'site.lua:4: route "site.lua#2"' .. field
    )
    expect_fault(
      "local route, list = moongate.route, {}\nfor i = 1, 3 do\n list[i] =\n  " .. bad .. "\nend\nreturn list",
      'site.lua:4: route "site.lua#1"' .. field,
      'site.lua:4: route "site.lua#3"' .. field
    )
    expect_fault(
      "local route = moongate.route\nlocal function site(name)\n local made = route.ports(80, 'a:1', { name = name })\n"
        .. " return made\nend\nlocal one, two = site('x'), site('x')\nreturn { one, two }",
      "site.lua:3: route \"x\": name: is also the name of a route in ",
      "site.lua:3: rename one of them"
    )
    expect_fault("return { moongate.route.https('a', 'b:1') }", "site.lua:1: moongate.route.https needs what a later")
    expect_fault("local x\nreturn { moongate.route.ports(1) }", "site.lua:2: bad argument #2 to 'moongate.route.ports'")
  end)

  it("names the line of the route file where a module beside routes/ called the helper", function()
    local space = moongate.workspace {
      routes = { ["site.lua"] = 'local sites = require "sites"\n\nlocal one = sites.of "a b"\nreturn { one }' },
    }
    local module = "local sites = {}\n\n\n\nfunction sites.of(domain)\n"
      .. "  local made = moongate.route.passthrough(domain, 'c:1')\n  return made\nend\nreturn sites\n"
    process.write(space.directory .. "/sites.lua", module)
    local answer = moongate.command { "check", moongate.files_of(space) }
    assert.truthy((answer.out .. answer.err):find("site.lua:3: route", 1, true), answer.out .. answer.err)
  end)

  it("names the line of a field", function()
    local wrong_type = 'return {\n  name = "api",\n  match = { ports = true },\n  action = { target = "a:1" },\n}'
    expect_fault(wrong_type, "routes/site.lua:3:", "match.ports")
    local unknown = 'return {\n  name = "api",\n  match = { ports = 80 },\n  action = {\n    targe = "a:1",\n  },\n}'
    expect_fault(unknown, "routes/site.lua:5:", "action.targe")
    local output = text_of { config_text = "return {\n  worker = 2,\n}" }
    assert.truthy(output:find("moongate.lua:2:", 1, true), output)
  end)

  it("names values that are out of range or no value at all", function()
    local no_ports = { "70000", "-1", "1.5", '"9-8"', '"80-"', '"http"', "{}", "{ from = 5 }", "{ from = 9, to = 8 }" }
    for _, ports in ipairs(no_ports) do
      expect_fault(api(("match = { ports = %s }, action = { target = 'a:1' }"):format(ports)), "api", "match.ports")
    end
    for _, target in ipairs { "''", "'host'", "'host:'", "'host:99999'", "':80'", "'unix:'" } do
      expect_fault(api(("action = { target = %s }"):format(target)), "api", "target")
    end
    expect_fault(api "match = { ports = 80, address = 'nonsense' }, action = { target = 'a:1' }", "match.address")
    expect_fault(api "action = { target = 'a:1' }, timeouts = { connect = 'soon' }", "timeouts.connect")
    expect_fault(api "action = { targets = { { host = 'a', port = 1, weight = -1 } } }", "weight")
  end)

  it("names a route without a port, without an action, and with two", function()
    expect_fault("return { name = 'api', action = { target = 'a:1' } }", "api", "ports")
    expect_fault(api "", "api", "action")
    expect_fault(api "action = { target = 'a:1', handler = function() end }", "api", "handler")
  end)

  it("names a file that returns no route", function()
    expect_fault("return 7", "site.lua")
    expect_fault("local x = 1", "site.lua")
    expect_fault('return { "text" }', "site.lua")
  end)

  it("names a route name that stands twice, in one file and over two", function()
    local one = [[{ name = "same", match = { ports = 80 }, action = { target = "a:1" } }]]
    expect_fault(("return { %s, %s }"):format(one, one), "site.lua", "same")
    local output, status = text_of { routes = { ["a.lua"] = "return " .. one, ["b.lua"] = "return " .. one } }
    assert.are.equal(1, status)
    assert.truthy(output:find("b.lua", 1, true) and output:find("same", 1, true), output)
  end)

  it("stops a file that runs for ever", function()
    expect_fault("while true do end", "site.lua")
  end)

  it("keeps ffi, the JIT and bytecode out of reach", function()
    expect_fault('local ffi = require "ffi"\nreturn {}', "site.lua:1:", "ffi")
    local bytecode = string.dump(function() end)
    expect_fault(bytecode, "site.lua")
  end)

  it("refuses what run refuses: a port that is that of the admin interface", function()
    local output, status = text_of {
      config_text = 'return { admin = { listen = "127.0.0.1:9099" } }',
      routes = { ["a.lua"] = 'return { name = "a", match = { ports = "9090-9100" }, action = { target = "a:1" } }' },
    }
    assert.are.equal(1, status)
    local fault = 'routes/a.lua:1: route "a": match.ports: port 9099 is that of admin.listen'
    assert.truthy(output:find(fault, 1, true), output)
  end)

  it("tells the faults of route files beside those of the config", function()
    local output, status = text_of {
      config_text = 'return { timeouts = { idle = "soon" } }',
      routes = { ["a.lua"] = 'return { name = "a", match = { portz = 1 }, action = { target = "a" } }' },
    }
    assert.are.equal(1, status)
    local faults = { "moongate.lua:1: timeouts.idle: ", "match.portz: unknown field", 'add ":80"', "3 faults" }
    for _, fault in ipairs(faults) do
      assert.truthy(output:find(fault, 1, true), output)
    end
  end)

  it("takes nothing for missing that a faulty config may have said", function()
    local is_root = require("posix.unistd").geteuid() == 0
    local routes = {
      ["a.lua"] = [[return {
        { name = "a", action = { target = "a" } },
        { name = "b", match = { ports = 80 } },
        { name = "c", match = { ports = 9090 }, action = { handler = function() end } },
        { name = "d", match = { ports = 9091 }, action = { target = "d" }, timeouts = { idle = "soon" } },
      }]],
    }
    for _, config in ipairs {
      "return {",
      "error 'no'",
      "return 7",
      "return { defaults = { match = { portz = 80 }, action = { port = 7 } }, admin = { listen = 7 } }",
      "return { default = { match = { ports = 80 }, action = { port = 7 } }, admin = { listens = '127.0.0.1:1' } }",
    } do
      local output, status = text_of { config_text = config, routes = routes }
      assert.are.equal(1, status)
      assert.truthy(output:find("moongate.lua:1: ", 1, true), output)
      local _, count = output:gsub("routes/a.lua:%d+: ", "")
      if is_root and not config:find "default" then
        assert.are.equal(0, count, output) -- who runs them is not known: privileges_spec
      else
        assert.are.equal(1, count, output)
        assert.truthy(output:find('routes/a.lua:5: route "d": timeouts.idle: expected a duration', 1, true), output)
      end
    end
  end)

  it("says nothing of a directory that a faulty config may have named", function()
    local space = moongate.workspace { config_text = "return { routez = 'conf.d' }" }
    assert(os.remove(space.directory .. "/routes"))
    local result = moongate.command({ "check", "--config", space.config_path }, {})
    assert.are.equal(1, result.status)
    assert.truthy(result.out:find("1 fault\n", 1, true), result.out)
  end)

  it("refuses what differs between the workers", function()
    local route = "{ name = '%s', match = { ports = 80 }, action = { handler = function() end } }"
    local text = "local file = io.open(%q, 'r')\nif file then return " .. route:format "other" .. " end\n"
    local mark = os.tmpname()
    os.remove(mark)
    text = text:format(mark) .. ("io.open(%q, 'w'):close()\nreturn "):format(mark) .. route:format "first"
    local output, status = text_of { routes = { ["a.lua"] = text }, config_text = "return { workers = 2 }" }
    os.remove(mark)
    assert.are.equal(1, status)
    assert.truthy(output:find("a.lua", 1, true), output)
  end)

  it("names faults of the config", function()
    local output, status = text_of { config_text = 'return {\n  worker = 2,\n}' }
    assert.are.equal(1, status)
    assert.truthy(output:find("moongate.lua", 1, true) and output:find("workers", 1, true), output)
    output, status = text_of { config_text = 'return { timeouts = { connect = "soon" } }' }
    assert.are.equal(1, status)
    assert.truthy(output:find("timeouts.connect", 1, true), output)
    output, status = text_of { config_text = "return {" }
    assert.are.equal(1, status)
    assert.truthy(output:find("moongate.lua:1:", 1, true), output)
  end)

  it("tells all faults of all files at once", function()
    local output = text_of {
      routes = {
        ["a.lua"] = "return {",
        ["b.lua"] = 'return { { name = "x", match = { ports = true } , action = { target = 5 } } }',
        ["c.lua"] = [[return { name = "fine", match = { ports = 80 }, action = { target = "a:1" } }]],
      },
    }
    for _, word in ipairs { "a.lua:1:", "b.lua", "match.ports", "action.target" } do
      assert.truthy(output:find(word, 1, true), word .. " in: " .. output)
    end
    assert.falsy(output:find("c.lua", 1, true), output)
  end)

  it("tells faults as JSON", function()
    local space = moongate.workspace {
      routes = {
        ["a.lua"] = "return {\n  name = = 1 }",
        ["site.lua"] = 'return { name = "api", match = { ports = true }, action = { target = "a:1" } }',
      },
    }
    local answer = moongate.command { "check", "--json", moongate.files_of(space) }
    assert.are.equal(1, answer.status)
    local decoded = cjson.decode(answer.out)
    assert.are.equal(2, #decoded.faults)
    assert.are.equal(2, decoded.faults[1].line)
    local fault = decoded.faults[2]
    assert.truthy(fault.file:find("site.lua", 1, true))
    assert.are.equal("api", fault.route)
    assert.truthy(fault.field:find("match.ports", 1, true))
    assert.are_not.equal("", fault.message)
    for _, one in ipairs(decoded.faults) do
      for _, value in pairs(one) do
        assert.truthy(value ~= "" and value ~= 0, answer.out)
      end
    end
    assert.is_nil(decoded.faults[1].route)
  end)

  it("tells of one file alone, beside the others where it is one of them", function()
    local action = 'action = { target = "a:1" } }'
    local space = moongate.workspace {
      routes = {
        ["a.lua"] = 'return { name = "api", match = { ports = 80 }, ' .. action,
        ["b.lua"] = 'return { name = "api", match = { ports = 81 }, ' .. action,
        ["c.lua"] = 'return { name = "other", match = { portz = 82 }, ' .. action,
      },
    }
    local function check(...)
      return moongate.command({ "check", ..., "--config", space.config_path }, { cwd = space.directory })
    end
    local whole = moongate.command { "check", moongate.files_of(space) }
    assert.truthy(whole.out:find("b.lua", 1, true) and whole.out:find("c.lua", 1, true), whole.out)
    local a = check "routes/a.lua"
    assert.are.same({ 0, "1 file, 1 route: no fault\n" }, { a.status, a.out })
    local b = check(space.directory .. "/routes/b.lua")
    assert.are.equal(1, b.status)
    assert.truthy(b.out:find("b.lua:1: ", 1, true) and not b.out:find("c.lua", 1, true), b.out)
    -- One elsewhere is the only one: nothing that stands beside it is run.
    process.write(space.directory .. "/draft.lua", 'return { name = "api", match = { ports = 80 }, ' .. action)
    process.write(space.directory .. "/beside.lua", "error('was run')")
    local draft = check "draft.lua"
    assert.are.same({ 0, "1 file, 1 route: no fault\n" }, { draft.status, draft.out })
    local wrong = check "beside.lua"
    assert.are.equal(1, wrong.status)
    assert.truthy(wrong.out:find("^beside.lua:1: ") and wrong.out:find("was run", 1, true), wrong.out)
    local two = moongate.command(
      { "check", "routes/b.lua", "routes/c.lua", "--json", "--config", space.config_path },
      { cwd = space.directory }
    )
    assert.are.equal(1, two.status)
    assert.is_true(#cjson.decode(two.out).faults >= 2, two.out)
    local directory = check "routes"
    assert.truthy(directory.out:find("is a directory: to check all of its files, name it with --routes", 1, true),
      directory.out)
    for _, name in ipairs { "routes/nosuch.lua", "moongate.txt", "nowhere/a.lua" } do
      local gone = check(name)
      assert.are.equal(1, gone.status, name)
      assert.truthy(gone.out:find("1 fault", 1, true), gone.out)
    end
  end)

  it("binds nothing, and runs beside a moongate that has the ports", function()
    local port = net.free_ports(1)
    local m = moongate.start { routes = moongate.front(1, "ports = " .. port) }
    local answer = moongate.command { "check", moongate.files_of(m) }
    assert.are.equal(0, answer.status, answer.out .. answer.err)
    assert.are.equal(200, (m:get "/readyz"))
  end)
end)
